"""The fingerprint of the code: what changes it, what doesn't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_assets.runs.fingerprint import fingerprint, project_roots


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package with code, YAML and other files."""
    (tmp_path / "sub").mkdir()
    for name in ("a.py", "sub/b.py", "sub/defs.yaml", "data.csv"):
        (tmp_path / name).write_text("one")
    return tmp_path


@pytest.mark.parametrize("name", ["a.py", "sub/b.py", "sub/defs.yaml"])
def test_a_changed_file_changes_it(package: Path, name: str) -> None:
    before = fingerprint([package])
    (package / name).write_text("longer")
    assert fingerprint([package]) != before


def test_a_change_of_the_same_length_changes_it(package: Path) -> None:
    before = fingerprint([package])
    status = (package / "a.py").stat()
    (package / "a.py").write_text("two")
    os.utime(package / "a.py", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert fingerprint([package]) != before


def test_new_removed_and_renamed_files_change_it(package: Path) -> None:
    prints = [fingerprint([package])]
    (package / "new.py").write_text("x")
    prints.append(fingerprint([package]))
    (package / "new.py").rename(package / "newer.py")
    prints.append(fingerprint([package]))
    (package / "sub" / "b.py").unlink()
    prints.append(fingerprint([package]))
    assert len(set(prints)) == len(prints)


def test_data_caches_and_hidden_folders_do_not(package: Path) -> None:
    before = fingerprint([package])
    (package / "data.csv").write_text("another")
    for folder in ("__pycache__", ".git"):
        (package / folder).mkdir()
        (package / folder / "c.py").write_text("x")
    assert fingerprint([package]) == before


def test_a_single_file_can_be_a_root(package: Path) -> None:
    before = fingerprint([package / "a.py"])
    (package / "sub" / "b.py").write_text("changed")
    assert fingerprint([package / "a.py"]) == before
    (package / "a.py").write_text("changed")
    assert fingerprint([package / "a.py"]) != before


def test_the_project_is_watched_and_installed_packages_are_not() -> None:
    import dagster

    roots = project_roots()
    here = Path(__file__).resolve()
    assert any(root in here.parents for root in roots)
    installed = Path(dagster.__file__).resolve()
    assert not any(root == installed or root in installed.parents for root in roots)
