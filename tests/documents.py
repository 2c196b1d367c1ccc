"""The commands that the project's documents show, as a reader would type them.

Add here how a command is recognised. Keep out what is expected of it. A command is a line of a `console` block behind
`$ `, with the lines that belong to it, or `mlops …` between backticks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
OF_DEPLOY = ("README", "HOSTS", "MONITORING", "SIGN_IN", "ALERTS", "TROUBLESHOOTING")
DOCUMENTS = ("README.md", *(f"deploy/{name}.md" for name in OF_DEPLOY))
PROMPT = "$ "
MLOPS = re.compile(r"(?:\.venv/bin/)?mlops(?= |$)")


@dataclass(frozen=True)
class Command:
    """One command with where it stands, from the document's line `line` on."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"

    @property
    def words(self) -> list[str]:
        """What a shell makes of it, without its comment."""
        return shlex.split(self.text, comments=True)


def typed(document: str) -> list[Command]:
    """The commands of console blocks, in order."""
    lines = (PROJECT / document).read_text(encoding="utf-8").splitlines()
    found, inside = [], False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith(PROMPT):
            found.append(Command(document, number + 1, _whole(lines[number:])))
    return found


def named(document: str) -> list[Command]:
    """Every `mlops …` of the text and its tables, and those of console blocks."""
    shown = [command for command in typed(document) if MLOPS.match(command.text)]
    lines = (PROJECT / document).read_text(encoding="utf-8").splitlines()
    return shown + [Command(document, number + 1, text) for number, line in enumerate(lines) for text in _quoted(line)]


def _whole(lines: list[str]) -> str:
    """The command that the first line begins: more lines while a quote is open or the line goes on."""
    text = lines[0].removeprefix(PROMPT)
    for line in lines[1:]:
        if not text.endswith("\\") and not _open(text):
            break
        text += f"\n{line}"
    return text


def _open(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def _quoted(line: str) -> Iterator[str]:
    for text in re.findall(r"`([^`]+)`", line):
        for part in re.split(r" && |; ", text):
            if MLOPS.match(part):
                yield part
