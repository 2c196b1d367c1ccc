"""`python -m mlops_assets.installation.entry NAME [--user USER] -- COMMAND…`: what every program runs first.

It ends what an earlier life of the same program left behind (a worker whose parent was killed still holds the
port), records its process group, and becomes COMMAND. Runs as few imports as it can: every restart pays them.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
from pathlib import Path

from mlops_assets.installation import leftovers


def main(arguments: list[str]) -> None:
    """Never returns: the process becomes the program."""
    mark = arguments.index("--")
    name, *options = arguments[:mark]
    command = arguments[mark + 1 :]
    home = Path(os.environ[leftovers.HOME_VARIABLE])
    run_dir = Path(os.environ["MLOPS_RUN_DIR"])
    record = run_dir / f"{name}.group"
    end_earlier(home, name, record)
    record.write_text(str(os.getpgrp()))
    os.environ.update(json.loads(environment_file(run_dir, name).read_text()))
    if options[:1] == ["--user"]:
        become(options[1])
    # What a script starts in the background ignores interrupts, and would have runs ignore that they are interrupted.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606


def environment_file(run_dir: Path, name: str) -> Path:
    """Where a program's own variables are kept: secrets don't belong into arguments, which anybody can list."""
    return run_dir / f"{name}.env.json"


def become(user: str) -> None:
    """Give up root for `user`, for good."""
    account = pwd.getpwnam(user)
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.chdir("/")


def end_earlier(home: Path, name: str, record: Path) -> int:
    """End the group that `record` names, if its members really are this program's. Returns how many ended."""
    try:
        group = int(record.read_text())
    except (FileNotFoundError, ValueError):
        return 0
    if group == os.getpgrp():
        return 0
    members = leftovers.in_group(leftovers.marked(home, name), group)
    return leftovers.end(members) if members else 0


if __name__ == "__main__":
    main(sys.argv[1:])
