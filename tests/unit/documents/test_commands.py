"""Every command that the documents name is one that there is, with options and arguments that it takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.main import get_command

from mlops_assets.cli import app
from tests.documents import DOCUMENTS, PROJECT, Command, named, typed

# What stands for something that the reader puts in.
LEFT_OUT = ("…", "...")
LINK = re.compile(r"\]\(([^)#]+)(#[^)]*)?\)")


def refused(command: Command) -> str:
    """Why the command line wouldn't take this; empty if it would."""
    words = [word for word in command.words if word not in LEFT_OUT]
    if ">" in words:
        words = words[: words.index(">")]
    part: Any = get_command(app)
    rest = words[1:]
    while hasattr(part, "commands") and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in part.commands:
            return f"there is no {name!r}; there are: {', '.join(part.commands)}"
        part = part.commands[name]
    if part.context_settings.get("ignore_unknown_options"):
        return ""  # It hands everything on to a program of its own.
    options = {"--help"} | {name for given in part.params for name in (*given.opts, *given.secondary_opts)}
    unknown = {word.partition("=")[0] for word in rest if word.startswith("-")} - options
    return f"no such option: {', '.join(sorted(unknown))}" if unknown else ""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_named_command_is_one_that_there_is(document: str) -> None:
    commands = named(document)
    assert commands
    wrong = [f"{command}: {why}" for command in commands if (why := refused(command))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_documents_link_to_is_there(document: str) -> None:
    text = (PROJECT / document).read_text(encoding="utf-8")
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        file = (PROJECT / document).parent / target
        assert file.exists(), f"{document}: {target}"
        if anchor:
            headings = re.findall(r"^#+ +(.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in {_anchor(heading) for heading in headings}, f"{document}: {target}{anchor}"


def test_modules_that_documents_run_are_there() -> None:
    for document in DOCUMENTS:
        for module in re.findall(r"python -m (tests[\w.]+)", (PROJECT / document).read_text(encoding="utf-8")):
            place = PROJECT / module.replace(".", "/")
            there = place.with_suffix(".py").exists() or (place / "__main__.py").exists()
            assert there, f"{document}: {module}"


def test_console_blocks_hold_whole_commands() -> None:
    commands = [command for name in DOCUMENTS for command in typed(name)]
    assert any("\n" in command.text for command in commands)
    for command in commands:
        assert command.words, str(command)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
