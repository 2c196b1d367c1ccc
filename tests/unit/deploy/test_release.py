"""A release: its tag names the version, the changelog has a section for it, and every licence is allowed."""

from __future__ import annotations

import re
import sys
from importlib import metadata

import pytest

from mlops_assets.settings import PROJECT
from tests.serving_packages import licences, used
from tests.unit.deploy.stack import version

sys.path.insert(0, str(PROJECT / "deploy"))

import release_notes

LOG = "# Changelog\n\n## 0.2.0 (2026-12-01)\n- New.\n\n## 0.1.0 (2026-11-01)\n- First, before 0.2.0.\n\n## 0.0.1\n"


@pytest.mark.parametrize(("number", "text"), [("0.2.0", "- New.\n"), ("0.1.0", "- First, before 0.2.0.\n")])
def test_the_notes_are_the_versions_section(number: str, text: str) -> None:
    assert release_notes.notes(f"v{number}", number, LOG) == text


@pytest.mark.parametrize(
    ("tag", "number", "log", "said"),
    [
        ("v0.2.0", "0.1.0", LOG, "tag it v0.1.0"),
        ("0.1.0", "0.1.0", LOG, "tag it v0.1.0"),
        ("v0.3.0", "0.3.0", LOG, "no section 0.3.0"),
        ("v0.0.1", "0.0.1", LOG, "says nothing of 0.0.1"),
        ("v0.2", "0.2", LOG, "no section 0.2"),
        ("v0.1.0", "0.1.0", LOG.replace("(2026-11-01)", "(unreleased)"), "unreleased"),
    ],
)
def test_a_tag_that_can_not_be_released_says_why(tag: str, number: str, log: str, said: str) -> None:
    with pytest.raises(release_notes.NoReleaseError, match=said):
        release_notes.notes(tag, number, log)


def test_a_refused_tag_fails_the_workflow(capsys: pytest.CaptureFixture[str]) -> None:
    assert release_notes.main(["v0.0.0"]) == 1
    assert f"tag it v{version()}" in capsys.readouterr().err


def test_the_version_is_written_once() -> None:
    assert release_notes.version() == version()
    assert re.search(rf"(?m)^## {re.escape(version())}\b", release_notes.CHANGELOG.read_text())


def rows() -> dict[str, list[str]]:
    """The table of deploy/LICENCES.md: version, licence and where it is used, by name."""
    lines = [line for line in licences.RESULT.read_text().splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {licences.packages.name_of(name): rest for name, *rest in cells}


def test_every_locked_package_is_listed_with_its_version() -> None:
    locked = licences.locked(licences.CONSTRAINTS.read_text())
    listed = {name: version for name, (version, *_) in rows().items()}
    assert listed == {name: version for name, (_, version) in locked.items()}, "run python deploy/licences.py"


def test_a_listed_licence_is_what_the_package_says() -> None:
    installed = {licences.packages.name_of(found.metadata["Name"]) for found in metadata.distributions()}
    listed = {name: words for name, (_, words, _) in rows().items() if name in installed}
    assert listed == {name: licences.licence(name) for name in listed}, "run python deploy/licences.py"


def test_it_is_listed_which_image_holds_a_package() -> None:
    listed = {name: where for name, (_, _, where) in rows().items()}
    assert listed == {name: used().get(name, "tools") for name in listed}


@pytest.mark.parametrize(("name", "allowed"), [("image", licences.ALLOWED), ("tools", licences.ALLOWED_FOR_TOOLS)])
def test_no_licence_slips_in_that_is_not_allowed(name: str, allowed: set[str]) -> None:
    other = {
        package: words
        for package, (_, words, where) in rows().items()
        if (where == "tools") == (name == "tools") and not licences.names_in(words) <= allowed
    }
    assert not other


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("MIT", {"MIT"}),
        ("Apache-2.0 OR BSD-2-Clause", {"Apache-2.0", "BSD-2-Clause"}),
        ("Apache-2.0 AND (MIT OR GPL-3.0)", {"Apache-2.0", "MIT", "GPL-3.0"}),
        ("GPL-2.0 WITH Classpath-exception-2.0", {"GPL-2.0", "Classpath-exception-2.0"}),
    ],
)
def test_every_licence_of_an_expression_counts(expression: str, names: set[str]) -> None:
    assert licences.names_in(expression) == names
