"""What a stage left is taken over only if it is what it says, and nothing else of the machine with it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.sandbox import collect


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "stage"
    made.mkdir(mode=0o700)
    collect.prepare_folder(made, None)
    return made


def told(name: str = "value.json", form: str = "json") -> dict[str, Any]:
    return {"format": form, "file": name, "type_name": "x" * 999, "preview": {"length": 1}}


def test_size_and_hash_are_of_what_is_there(folder: Path) -> None:
    (folder / "result" / "value.json").write_bytes(b"[1]")
    value = collect.stored_value(folder, "result", {**told(), "size": 10**9, "sha256": "forged"}, os.geteuid())
    assert (value.size, value.sha256) == (3, hashlib.sha256(b"[1]").hexdigest())
    assert len(value.type_name) <= 200


def test_links_pipes_and_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    place = folder / "result" / "value.json"
    place.symlink_to(secret)
    with pytest.raises(OSError):
        collect.stored_value(folder, "result", told(), os.geteuid())
    place.unlink()
    os.link(secret, place)
    with pytest.raises(collect.ForgedError):
        collect.stored_value(folder, "result", told(), os.geteuid())
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(collect.ForgedError):
        collect.stored_value(folder, "result", told(), os.geteuid())
    place.unlink()
    place.write_text("[]")
    with pytest.raises(collect.ForgedError):
        collect.stored_value(folder, "result", told(), os.geteuid() + 1)


def test_a_folder_replaced_by_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "value.json").write_text("1")
    (folder / "result").rmdir()
    (folder / "result").symlink_to(elsewhere)
    with pytest.raises(OSError):
        collect.stored_value(folder, "result", told(), os.geteuid())
    collect.take_back(folder)


@pytest.mark.parametrize(
    "name", ["../secret.json", "/etc/passwd", "value.json/..", "", None, "a" * 10_000, "value.JSON\n"]
)
def test_names_of_files_are_never_paths(name: Any, folder: Path) -> None:
    with pytest.raises(collect.ForgedError):
        collect.stored_value(folder, "result", told(name), os.geteuid())


@pytest.mark.parametrize("form", ["exe", None, 5, ["json"]])
def test_unknown_formats_are_refused(form: Any, folder: Path) -> None:
    with pytest.raises(collect.ForgedError):
        collect.stored_value(folder, "result", told(form=form), os.geteuid())


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"name": "x" * 300}, {"name": 5}, {"type": "VIRUS"}, {"metadata": []}, {"value": None}]
)
def test_artifacts_are_checked(change: dict[str, Any], folder: Path) -> None:
    (folder / "artifacts" / "000001.txt").write_text("x")
    fact = {"name": "../../<b>", "type": "PLOT", "metadata": {}, "value": told("000001.txt", "text")}
    assert collect.written_artifact(folder, fact, os.geteuid()).name == "../../<b>"
    with pytest.raises(collect.ForgedError):
        collect.written_artifact(folder, {**fact, **change}, os.geteuid())


def test_only_private_empty_folders_are_given_away(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ValueError, match="0700"):
        collect.prepare_folder(tmp_path, None)
    tmp_path.chmod(0o700)
    (tmp_path / "x").touch()
    with pytest.raises(ValueError, match="empty"):
        collect.prepare_folder(tmp_path, None)


def test_the_deepest_folders_can_be_removed(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    collect.remove_folder(folder)
    assert not folder.exists()
