"""Storage on a local disk: whole files or none, clear errors, names that can't leave the root."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.storage.files import (
    MissingFileError,
    Storage,
    StorageError,
    atomic_file,
    safe_name,
)
from mlops_assets.storage.folders import fetch_folder, publish_folder


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "root"))


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.name.endswith(".partial")]


@pytest.mark.parametrize("form", ["{0}", "file://{0}", "{0}/"])
def test_a_path_and_a_file_url_are_the_same_root(tmp_path: Path, form: str) -> None:
    storage = Storage(form.format(tmp_path)).at("house_prices")
    storage.write_json("a.json", {"b": [1, 2]})
    assert (tmp_path / "house_prices" / "a.json").is_file()
    assert storage.read_json("a.json") == {"b": [1, 2]}
    assert storage.names() == ("a.json",)
    assert str(storage.root / "a.json").endswith("house_prices/a.json")


def test_a_file_url_with_an_escaped_blank_is_that_folder(tmp_path: Path) -> None:
    Storage(f"file://{tmp_path}/with%20blank").write_bytes("x", b"1")
    assert (tmp_path / "with blank" / "x").read_bytes() == b"1"


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "a\0b",
        ".hidden",
        "a\n",
        "x" * 201,
        "ä",
        "a b",
        "*",
        "a?b",
    ],
)
def test_a_name_that_could_be_another_path_is_refused(storage: Storage, name: str) -> None:
    for use in (
        lambda: storage.write_bytes(name, b""), lambda: storage.read_bytes(name), lambda: storage.at(name),
        lambda: storage.exists(name), lambda: storage.sha256(name), lambda: storage.locate(name),
    ):  # fmt: skip
        with pytest.raises(StorageError, match="file name"):
            use()


@given(st.text(max_size=260))
def test_a_safe_name_is_one_part_of_a_path(name: str) -> None:
    try:
        safe = safe_name(name)
    except StorageError:
        return
    assert (Path("/store") / safe).parent == Path("/store")
    assert os.path.normpath(f"/store/{safe}") == f"/store/{safe}"


def test_errors_name_the_path_and_the_cause(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"root/none\.json: there is no such file"):
        storage.read_json("none.json")
    storage.write_bytes("bad.json", b"{")
    with pytest.raises(StorageError, match=r"bad\.json: not JSON"):
        storage.read_json("bad.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Storage(str(tmp_path / "file")).write_bytes("under", b"")
    with pytest.raises(StorageError, match="only a path"):
        Storage("ftp://host/x")
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json("nan.json", float("nan"))


def test_options_never_show_in_the_representation() -> None:
    storage = Storage("s3://bucket/prefix", {"key": "AKIDEXAMPLE", "secret": "hush"})
    assert "hush" not in repr(storage)
    assert "AKIDEXAMPLE" not in repr(storage)
    assert pickle.loads(pickle.dumps(storage)).options["secret"] == "hush"
    with pytest.raises(StorageError) as error:
        Storage("s3://key:hush@bucket/prefix")
    assert "hush" not in str(error.value)


def test_a_write_that_raises_leaves_the_old_file_and_nothing_else(storage: Storage) -> None:
    storage.write_bytes("a", b"old")

    def stops_half_way() -> None:
        with atomic_file(storage.folder / "a") as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stops_half_way()
    assert storage.read_bytes("a") == b"old"
    assert leftovers(storage.folder) == []


def test_readers_only_ever_see_a_whole_file_while_two_writers_replace_it(storage: Storage) -> None:
    sizes = {b"a" * 300_000, b"b" * 100_000}
    storage.write_bytes("x", b"a" * 300_000)
    stop = threading.Event()

    def write(data: bytes) -> None:
        while not stop.is_set():
            storage.write_bytes("x", data)

    writers = [threading.Thread(target=write, args=(d,)) for d in sizes]
    for writer in writers:
        writer.start()
    try:
        seen = {storage.read_bytes("x") for _ in range(300)}
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert seen <= sizes
    assert leftovers(storage.folder) == []


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(storage: Storage) -> None:
    storage.write_bytes("a", b"old")
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from mlops_assets.storage.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as f:\n"
        "    f.write(b'new' * 100000); f.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(storage.folder / "a")], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert storage.read_bytes("a") == b"old"
    assert storage.names() == ("a",)


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A folder that takes 1 MB: a real small file system for root, who may mount one, else a limit on each file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, timeout=20
    )
    if mounted.returncode == 0:
        yield disk
        subprocess.run(["umount", str(disk)], check=True, timeout=20)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield disk
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_with_its_free_space_and_leaves_nothing_half_written(tiny_disk: Path) -> None:
    storage = Storage(str(tiny_disk / "root"))
    storage.write_bytes("old", b"old")
    large = tiny_disk.parent / "large"
    large.write_bytes(b"x" * 3_000_000)
    full = r"(no space left.*[01]\.\d|larger than .*\d)"
    for write in (
        lambda: storage.write_bytes("old", b"x" * 3_000_000),
        lambda: storage.write_file("rows", large),
    ):
        with pytest.raises(StorageError, match=rf"root/(old|rows): {full} MB free"):
            write()
    assert storage.names() == ("old",)
    assert storage.read_bytes("old") == b"old"
    assert leftovers(tiny_disk) == []


def test_a_file_over_the_process_limit_is_told_and_leaves_nothing(storage: Storage) -> None:
    script = (
        "import resource, sys; from mlops_assets.storage.files import Storage, StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: Storage(sys.argv[1]).write_bytes('big', b'x' * 1_000_000)\n"
        "except StorageError as error: print(error)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    told = subprocess.run(
        [sys.executable, "-c", script, storage.url], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert "root/big: larger than the file size limit of this process" in told
    assert "MB free" in told
    assert list(storage.folder.iterdir()) == []


def release(folder: Path, text: str = "1") -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "release.json").write_text(text)
    (folder / "model.onnx").write_bytes(b"\0" * 100)
    (folder / "sub" / "more.txt").write_text("more")
    return folder


def test_a_folder_goes_and_comes_back_whole(storage: Storage, tmp_path: Path) -> None:
    local = release(tmp_path / "local")
    publish_folder(local, storage.at("v1"), manifest="release.json")
    fetch_folder(storage.at("v1"), tmp_path / "back", manifest="release.json")
    files = {p.relative_to(local): p.read_bytes() for p in local.rglob("*") if p.is_file()}
    back = tmp_path / "back"
    assert {p.relative_to(back): p.read_bytes() for p in back.rglob("*") if p.is_file()} == files
    publish_folder(local, storage.at("v1"), manifest="release.json")
    with pytest.raises(StorageError, match="already exists"):
        fetch_folder(storage.at("v1"), back, manifest="release.json")


def test_the_manifest_is_written_last_and_a_publication_without_it_is_none(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, written = release(tmp_path / "local"), []
    real = Storage.write_file

    def fails_at_third(self: Storage, name: str, path: Path) -> None:
        written.append(name)
        if len(written) == 3:
            raise StorageError("cut off")
        real(self, name, path)

    monkeypatch.setattr(Storage, "write_file", fails_at_third)
    with pytest.raises(StorageError, match="cut off"):
        publish_folder(local, storage.at("v1"), manifest="release.json")
    assert written[-1] == "release.json"
    with pytest.raises(MissingFileError, match="nothing complete"):
        fetch_folder(storage.at("v1"), tmp_path / "back", manifest="release.json")
    publish_folder(local, storage.at("v1"), manifest="release.json")
    assert storage.at("v1").exists("release.json")


def test_what_is_published_can_not_be_replaced(storage: Storage, tmp_path: Path) -> None:
    publish_folder(release(tmp_path / "one", "1"), storage.at("v1"), manifest="release.json")
    with pytest.raises(StorageError, match="already published with other content"):
        publish_folder(release(tmp_path / "two", "2"), storage.at("v1"), manifest="release.json")
    assert storage.at("v1").read_bytes("release.json") == b"1"


def test_links_and_lacking_manifests_are_refused(storage: Storage, tmp_path: Path) -> None:
    local = release(tmp_path / "local")
    with pytest.raises(MissingFileError, match=r"manifest other\.json"):
        publish_folder(local, storage, manifest="other.json")
    (local / "link").symlink_to("/etc/hostname")
    with pytest.raises(StorageError, match="only plain files"):
        publish_folder(local, storage, manifest="release.json")


def test_a_fetch_that_fails_leaves_no_folder(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_folder(release(tmp_path / "local"), storage, manifest="release.json")

    def lost(self: Storage, name: str, into: Path) -> None:
        raise StorageError("lost")

    monkeypatch.setattr(Storage, "read_file", lost)
    with pytest.raises(StorageError, match="lost"):
        fetch_folder(storage, tmp_path / "back", manifest="release.json")
    assert not (tmp_path / "back").exists()
    assert leftovers(tmp_path) == []
