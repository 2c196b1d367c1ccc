"""Local copies: fetched once, proven each time, pruned, and enough for a restart."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inference.functions import ProductFunctions
from inference.model_store import POINTER, ModelStore
from inference.release import ReleaseError
from inference.roles import Role
from mlops_assets.storage.files import StorageError
from tests.unit.inference.tiny_release import PRODUCT, write_release


@pytest.fixture
def store(tmp_path: Path, functions: ProductFunctions) -> ModelStore:
    return ModelStore(tmp_path / "cache", PRODUCT, functions, keep=3)


def published(tmp_path: Path, version: int) -> Role:
    folder = write_release(tmp_path / "published" / str(version), version, factor=version / 10)
    return Role(version=version, uri=str(folder))


def copies(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "releases").iterdir())


def again(tmp_path: Path, functions: ProductFunctions) -> ModelStore:
    """The store as a restarted process sees it."""
    return ModelStore(tmp_path / "cache", PRODUCT, functions, keep=3)


def test_second_opening_needs_no_storage(store: ModelStore, tmp_path: Path, functions: ProductFunctions) -> None:
    role = published(tmp_path, 1)
    store.open(role)
    store.remember(role)
    shutil.rmtree(role.uri)
    assert again(tmp_path, functions).open(role).version == 1
    found = again(tmp_path, functions).reopen()
    assert found is not None
    assert (found[0], found[1].version) == (role, 1)


@pytest.mark.parametrize(
    ("label", "who"), [("candidate", {"candidate": 1}), ("production", {"production": 1}), ("standby", {})]
)
def test_label_outlives_a_restart(
    store: ModelStore, tmp_path: Path, functions: ProductFunctions, label: str, who: dict[str, int]
) -> None:
    role = replace(published(tmp_path, 1), **who)  # type: ignore[arg-type]
    store.open(role)
    store.remember(role)
    found = again(tmp_path, functions).reopen()
    assert found is not None
    assert found[0].label == role.label == label


def test_only_the_newest_three_are_kept_and_the_current_is_one(store: ModelStore, tmp_path: Path) -> None:
    roles = [published(tmp_path, version) for version in range(1, 6)]
    for role in (*roles, roles[3]):
        store.open(role)
        store.remember(role)
    assert len(copies(tmp_path)) == 3
    kept = json.loads((tmp_path / "cache" / POINTER).read_text())["kept"]
    assert [k["version"] for k in kept] == [4, 5, 3]


@pytest.mark.parametrize("name", ["model.onnx", "release.json"])
@pytest.mark.parametrize("damage", ["change", "remove"])
def test_damaged_copy_is_fetched_again(
    store: ModelStore, tmp_path: Path, functions: ProductFunctions, name: str, damage: str
) -> None:
    role = published(tmp_path, 1)
    store.open(role)
    store.remember(role)
    file = copies(tmp_path)[0] / name
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b" ")
    with pytest.raises(ReleaseError):
        again(tmp_path, functions).reopen()
    assert again(tmp_path, functions).open(role).version == 1
    assert again(tmp_path, functions).reopen() is not None


def test_manifest_swapped_for_another_valid_one_is_noticed(
    store: ModelStore, tmp_path: Path, functions: ProductFunctions
) -> None:
    role = published(tmp_path, 1)
    store.open(role)
    store.remember(role)
    write_release(copies(tmp_path)[0], 1, factor=9.9)
    with pytest.raises(ReleaseError, match="changed after it was fetched"):
        again(tmp_path, functions).reopen()


def test_damaged_release_leaves_nothing_behind(store: ModelStore, tmp_path: Path) -> None:
    role = published(tmp_path, 1)
    (Path(role.uri) / "model.onnx").write_bytes(b"broken")
    with pytest.raises(ReleaseError):
        store.open(role)
    assert copies(tmp_path) == []
    assert not (tmp_path / "cache" / "incoming").exists()


def test_release_of_another_number_or_product_is_refused(store: ModelStore, tmp_path: Path) -> None:
    role = published(tmp_path, 1)
    with pytest.raises(ReleaseError, match="holds release 1"):
        store.open(Role(version=2, uri=role.uri))
    other = write_release(tmp_path / "other", 2, product="other")
    with pytest.raises(ReleaseError, match="of other"):
        store.open(Role(version=2, uri=str(other)))


def test_release_without_files_or_folder_is_refused(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="uri is null"):
        store.open(Role(version=1, uri=""))
    with pytest.raises(StorageError, match="nothing complete"):
        store.open(Role(version=1, uri=str(tmp_path / "nothing")))


def test_publication_that_was_killed_is_refused(store: ModelStore, tmp_path: Path) -> None:
    role = published(tmp_path, 1)
    (Path(role.uri) / "release.json").unlink()
    with pytest.raises(StorageError, match=r"release\.json"):
        store.open(role)


def test_no_role_means_nothing_to_reopen(store: ModelStore, tmp_path: Path, functions: ProductFunctions) -> None:
    assert store.reopen() is None
    role = published(tmp_path, 1)
    store.open(role)
    store.remember(role)
    store.remember(None)
    assert again(tmp_path, functions).reopen() is None
    shutil.rmtree(role.uri)
    assert again(tmp_path, functions).open(role).version == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"product": "tiny_homes", "kept": [{"digest": "../../x"}]}'])
def test_unreadable_pointer_is_no_pointer(
    store: ModelStore, tmp_path: Path, functions: ProductFunctions, text: str
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / POINTER).write_text(text)
    assert store.reopen() is None
    assert store.open(published(tmp_path, 1)).version == 1


def test_pointer_of_another_product_is_ignored(store: ModelStore, tmp_path: Path, functions: ProductFunctions) -> None:
    role = published(tmp_path, 1)
    store.open(role)
    store.remember(role)
    assert ModelStore(tmp_path / "cache", "other_homes", functions).reopen() is None


def test_copy_in_the_making_when_killed_is_no_obstacle(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = published(tmp_path, 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            store.open(role)
    assert (tmp_path / "cache" / "incoming").exists()
    assert store.open(role).version == 1
    assert not (tmp_path / "cache" / "incoming").exists()
