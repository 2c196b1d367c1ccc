"""Whether the commands of a container are ones that its image has: `mlops …` as the command line takes it, scripts of
the project, programs of the packages.

Keep out where the commands stand.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mlops_assets.settings import PROJECT
from tests.documents import Command
from tests.unit.deploy.stack import instructions
from tests.unit.documents.test_commands import refused

IN_IMAGE = "/opt/mlops"


def programs_refused(service: dict[str, Any]) -> list[str]:
    """Why the commands of a service that runs one of our images can't be run; empty if they can."""
    command = [*service.get("entrypoint", ()), *service.get("command", ())] or default_command()
    check = service.get("healthcheck", {}).get("test", ["CMD"])[1:]
    found = [why(words, service.get("volumes", ())) for words in (command, check) if words]
    return [one for one in found if one]


def default_command() -> list[str]:
    """What an image runs when it isn't told anything, after its init."""
    (command,) = (ast.literal_eval(words) for name, words in instructions() if name == "CMD")
    return list(command)


def why(words: Sequence[str], volumes: Sequence[str] = ()) -> str:
    """Why a command can't be run; empty if it can."""
    program, *rest = words
    if program == "mlops":
        return refused(Command("", 0, shlex.join(words)))
    if program == "sh":
        return _shell(rest, volumes)
    if program == "python":
        ast.parse(rest[rest.index("-c") + 1])
        return ""
    scripts = {entry.name for entry in entry_points(group="console_scripts")}
    return "" if program in scripts else f"no package has a program {program}"


def _shell(words: Sequence[str], volumes: Sequence[str]) -> str:
    if words[0].startswith("-"):
        commands = re.split(r"&&|;|\|\|", words[1])
        found = [why(shlex.split(command.partition(">")[0])) for command in commands]
        return "; ".join(one for one in found if one)
    script = words[0]
    if script.startswith(f"{IN_IMAGE}/"):
        return "" if (PROJECT / Path(script).relative_to(IN_IMAGE)).is_file() else f"no script {script}"
    return "" if any(f":{script}:" in volume for volume in volumes) else f"{script} isn't mounted"
