"""What a release says: `python deploy/release_notes.py v0.1.0` prints the changelog's section of that version.

It is the gate of a release: the tag has to name the version in `pyproject.toml`, which is where a version is written,
and the changelog a section with that heading. Uses the standard library alone.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CHANGELOG = PROJECT / "deploy" / "CHANGELOG.md"


class NoReleaseError(ValueError):
    """The tag can't become a release; the message says what is missing."""


def version() -> str:
    """The version of the project."""
    found: str = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return found


def notes(tag: str, version: str, changelog: str) -> str:
    """The section `## <version>` of a changelog, without its heading.

    Raises:
        NoReleaseError: the tag isn't `v<version>`, or the section is missing, empty or marked as unreleased.
    """
    if tag != f"v{version}":
        raise NoReleaseError(f"the tag is {tag}, and pyproject.toml says {version}: tag it v{version}")
    sections = re.split(r"(?m)^## +", changelog)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if heading.split()[:1] != [version]:
            continue
        if "unreleased" in heading.lower():
            raise NoReleaseError(f"deploy/CHANGELOG.md still calls {version} unreleased: write the day there")
        if not text.strip():
            raise NoReleaseError(f"deploy/CHANGELOG.md says nothing of {version}")
        return text.strip() + "\n"
    raise NoReleaseError(f"deploy/CHANGELOG.md has no section {version}")


def main(arguments: list[str]) -> int:
    """Print the notes; 1 with a reason for a tag that can't be released."""
    if len(arguments) != 1:
        print("usage: release_notes.py TAG", file=sys.stderr)
        return 2
    try:
        sys.stdout.write(notes(arguments[0], version(), CHANGELOG.read_text(encoding="utf-8")))
    except NoReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
