"""Files and folders in Google's and Azure's stores: the same as in S3's."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest

from mlops_assets.storage.files import MissingFileError, Storage, StorageError
from mlops_assets.storage.folders import fetch_folder, publish_folder
from tests.integration.clouds.emulators import Cloud
from tests.integration.stored_files import check_files

# More than is sent in one piece.
LARGE = 110 << 20


def test_files_are_written_replaced_read_and_listed(storage: Storage, tmp_path: Path) -> None:
    check_files(storage, tmp_path)


def test_a_missing_file_is_told(storage: Storage, tmp_path: Path) -> None:
    for read in (storage.read_bytes, storage.sha256):
        with pytest.raises(MissingFileError, match=f"{storage.url}/none: there is no such file"):
            read("none")
    with pytest.raises(MissingFileError, match="there is no such file"):
        storage.read_file("none", tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_more_than_one_page_of_a_listing_is_listed(storage: Storage) -> None:
    wanted = tuple(f"part-{number:04d}" for number in range(1100))
    for name in wanted:
        storage.write_bytes(name, b"")
    assert storage.names() == wanted


@pytest.mark.timeout(120)
def test_a_large_file_goes_there_and_comes_back(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(1 << 20) * (LARGE >> 20))
    storage.write_bytes("large.bin", b"old")
    storage.write_file("large.bin", path)
    assert storage.sha256("large.bin") == hashlib.sha256(path.read_bytes()).hexdigest()
    storage.read_file("large.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").stat().st_size == LARGE


def test_a_folder_is_published_and_fetched(storage: Storage, tmp_path: Path) -> None:
    local = tmp_path / "local"
    (local / "sub").mkdir(parents=True)
    (local / "release.json").write_text("{}")
    (local / "sub" / "model.onnx").write_bytes(os.urandom(3_000_000))
    publish_folder(local, storage, manifest="release.json")
    fetch_folder(storage, tmp_path / "back", manifest="release.json")
    model = Path("sub") / "model.onnx"
    assert (tmp_path / "back" / model).read_bytes() == (local / model).read_bytes()
    with pytest.raises(MissingFileError, match="nothing complete"):
        fetch_folder(storage.at("other"), tmp_path / "none", manifest="release.json")
    (local / "release.json").write_text('{"changed": 1}')
    with pytest.raises(StorageError, match="already published with other content"):
        publish_folder(local, storage, manifest="release.json")


def test_what_others_write_is_seen_at_once(cloud: Cloud, storage: Storage) -> None:
    other = Storage(storage.url, {**cloud.options, "skip_instance_cache": True})
    assert storage.names() == ()
    other.write_bytes("new", b"1")
    assert (storage.names(), storage.exists("new")) == (("new",), True)
    other.remove("new")
    assert (storage.names(), storage.exists("new")) == ((), False)


def test_a_forked_process_may_go_on_using_the_storage(storage: Storage) -> None:
    storage.write_bytes("a", b"parent")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(30)
        os.write(writing, storage.read_bytes("a"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"parent"
    assert os.waitpid(child, 0)[1] == 0


def test_a_url_alone_is_enough_where_the_clouds_variables_are_set(by_variables: None, url: str) -> None:
    storage = Storage(url)
    storage.write_bytes("a", b"1")
    assert (storage.names(), storage.read_bytes("a")) == (("a",), b"1")
