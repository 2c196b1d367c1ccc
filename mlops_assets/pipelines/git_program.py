"""The git program as it may be used on a stranger's repository: no settings of this machine, limits on all it does.

Add a setting here when git could otherwise run, ask, follow or write something by itself. Keep out what is asked of it
(`git_checkout`).
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.request import getproxies

MEMORY_KB = 4_000_000
SLOW_BYTES_A_SECOND, SLOW_SECONDS = 1000, 60
SHOWN = 500
_OPTIONS = {
    **{"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.askPass": "", "credential.helper": ""},
    **{"core.symlinks": "true", "core.protectNTFS": "true", "core.protectHFS": "true"},
    # A server can't send somebody who may ask it on to one that may not be asked.
    **{"http.followRedirects": "false", "transfer.bundleURI": "false"},
    **{"http.lowSpeedLimit": str(SLOW_BYTES_A_SECOND), "http.lowSpeedTime": str(SLOW_SECONDS)},
    **{"submodule.recurse": "false", "gc.auto": "0", "maintenance.auto": "false", "fetch.writeCommitGraph": "false"},
    # Always one file of what was sent, which the limit on files holds for, in little memory.
    **{"fetch.unpackLimit": "1", "pack.threads": "1", "core.packedGitWindowSize": "64m", "core.packedGitLimit": "512m"},
}
_SSH = "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=10 -oServerAliveCountMax=3"
# The shell counts in blocks and in KB. What reads its input ends all of it once the process that asked is gone.
BLOCK = 512
_LIMITED = """
ulimit -f "$1" && ulimit -v "$2" && shift 2 || exit 1
exec 3<&0
(read -r _ <&3; kill -9 0) &
exec "$@" </dev/null 3<&-
"""


class GitError(RuntimeError):
    """Git isn't there or failed where it should not."""


@dataclass(frozen=True)
class Done:
    """How git ended. `output` and `errors` are what it wrote, the first as much as files may be large."""

    code: int
    output: bytes
    errors: str

    @property
    def too_large(self) -> bool:
        """Whether what it wrote itself was larger than it may be."""
        return -self.code == signal.SIGXFSZ

    @property
    def said(self) -> str:
        """The end of what git said went wrong."""
        return " ".join(self.errors.split())[-SHOWN:] or f"git ended with code {self.code}"


class Git:
    """Git, for one repository's address; all of it together may take until `deadline` (of the monotonic clock).

    `history` is the bare repository to work on. Raises GitError when git isn't installed.
    """

    def __init__(self, program: str, address: str, deadline: float) -> None:
        found = shutil.which(program)
        if found is None:
            raise GitError("git isn't installed on this machine")
        self._program, self._deadline = found, deadline
        self._environment = _environment(Path(found).parent, address)
        self.history: Path | None = None

    def run(self, *arguments: str) -> None:
        """Let git do something. Raises GitError when it fails, TimeoutError."""
        done = self.tried(*arguments)
        if done.code != 0:
            raise GitError(done.said)

    def tried(self, *arguments: str, file_bytes: int = 2_000_000_000) -> Done:
        """Let git do something, which may write files of so many bytes each. Raises TimeoutError."""
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            code = self._ended(arguments, file_bytes, output, errors)
            output.seek(0)
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - 10_000))
            return Done(code, output.read(), errors.read().decode(errors="replace"))

    def _ended(self, arguments: tuple[str, ...], file_bytes: int, output: IO[bytes], errors: IO[bytes]) -> int:
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        place = [] if self.history is None else [f"--git-dir={self.history}"]
        limits = ("/bin/sh", "-c", _LIMITED, "sh", str(file_bytes // BLOCK), str(MEMORY_KB))
        process = subprocess.Popen(
            [*limits, self._program, *options, *place, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env=self._environment,
            cwd="/",
            start_new_session=True,
        )
        handle = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
                raise TimeoutError
        finally:
            os.close(handle)
            # Also what it has started; while it isn't collected, its number is nobody else's.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                process.stdin.close()
        return process.returncode


def _environment(programs: Path, address: str) -> dict[str, str]:
    """Nothing of the platform's but the way to the network: no secrets, no settings, one way to reach the address."""
    scheme = address.split(":", 1)[0] if "://" in address else "ssh"
    certificates = ssl.get_default_verify_paths().cafile
    return {
        "PATH": f"{programs}:{os.defpath}",
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": scheme,
        "GIT_SSH_COMMAND": _SSH,
        "GIT_SSH_VARIANT": "ssh",
        **({"GIT_SSL_CAINFO": certificates} if certificates else {}),
        **{f"{name}_proxy": proxy for name, proxy in getproxies().items()},
    }
