"""An S3 store that is slow, closed, cuts connections, knows other keys or holds much: nothing is half there."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlops_assets.settings import PROJECT
from mlops_assets.storage import s3 as limits
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.storage.folders import fetch_folder, publish_folder
from tests.faulty_way import FaultyWay, faulty_way
from tests.servers import child_environment

# More than is sent in one piece.
LARGE = 110 << 20


@pytest.fixture
def way(s3: dict[str, str]) -> Iterator[FaultyWay]:
    place = urlsplit(s3["endpoint_url"])
    with faulty_way(place.hostname or "", place.port or 0) as found:
        yield found


@pytest.fixture
def options(s3: dict[str, str], way: FaultyWay) -> dict[str, Any]:
    """The store over the faulty way, given up sooner than in life."""
    return s3 | {"endpoint_url": f"http://127.0.0.1:{way.port}", "config_kwargs": {"read_timeout": 2}}


@pytest.fixture
def prefix() -> str:
    return f"s3://store/{secrets.token_hex(4)}"


@pytest.fixture
def storage(prefix: str, options: dict[str, Any]) -> Storage:
    return Storage(prefix, options)


def written(tmp_path: Path, size: int = LARGE) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(1 << 20) * (size >> 20))
    return path


def test_a_large_file_goes_in_parts_and_comes_back(storage: Storage, way: FaultyWay, tmp_path: Path) -> None:
    path = written(tmp_path)
    storage.write_file("large.bin", path)
    assert b"partNumber=2" in bytes(way.sent)
    assert storage.sha256("large.bin") == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_connection_that_is_cut_is_tried_again(storage: Storage, way: FaultyWay, tmp_path: Path) -> None:
    path = written(tmp_path)
    way.cut_after, way.cuts = 4 << 20, 1
    storage.write_file("large.bin", path)
    assert way.cuts == 0
    assert storage.sha256("large.bin") == hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_upload_that_never_gets_through_leaves_nothing_to_see(
    storage: Storage, prefix: str, s3: dict[str, str], way: FaultyWay, tmp_path: Path
) -> None:
    way.cut_after, way.cuts = 4 << 20, 10_000
    with pytest.raises(StorageError, match=f"{prefix}/large.bin"):
        storage.write_file("large.bin", written(tmp_path))
    assert Storage(prefix, s3).names() == ()


def test_a_release_that_is_cut_off_is_none_and_the_next_try_completes_it(
    storage: Storage, prefix: str, s3: dict[str, str], way: FaultyWay, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "a.onnx").write_bytes(os.urandom(1 << 20))
    (folder / "b.onnx").write_bytes(os.urandom(3 << 20))
    (folder / "release.json").write_text("{}")
    # The first file passes, the second never does.
    way.cut_after, way.cuts = 2 << 20, 10_000
    with pytest.raises(StorageError):
        publish_folder(folder, storage, manifest="release.json")
    plain = Storage(prefix, s3)
    assert "release.json" not in plain.names()
    way.cuts = 0
    publish_folder(folder, storage, manifest="release.json")
    fetch_folder(plain, tmp_path / "fetched", manifest="release.json")
    assert (tmp_path / "fetched" / "b.onnx").read_bytes() == (folder / "b.onnx").read_bytes()


@pytest.mark.parametrize("fault", ["closed", "silent"])
def test_a_store_that_cannot_be_had_is_told_and_given_up(
    storage: Storage, prefix: str, way: FaultyWay, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRIES", 1)
    storage.write_bytes("before", b"1")
    setattr(way, fault, True)
    # Connections that are kept would still be well.
    fresh = Storage(prefix, storage.options | {"skip_instance_cache": True})
    with pytest.raises(StorageError, match=f"{prefix}/before"):
        fresh.read_bytes("before")
    with pytest.raises(StorageError, match=f"{prefix}/after"):
        fresh.write_bytes("after", b"2")
    setattr(way, fault, False)
    assert storage.names() == ("before",)


def test_wrong_keys_are_told_without_showing_them(prefix: str, options: dict[str, Any]) -> None:
    wrong = Storage(prefix, options | {"secret": "not-the-secret"})
    with pytest.raises(StorageError, match=f"{prefix}/x") as told:
        wrong.write_bytes("x", b"1")
    assert "not-the-secret" not in str(told.value)


def test_more_than_one_page_of_a_listing_is_listed(prefix: str, s3: dict[str, str]) -> None:
    storage = Storage(prefix, s3)
    wanted = tuple(f"part-{number:04d}" for number in range(1100))
    for name in wanted:
        storage.write_bytes(name, b"")
    assert storage.names() == wanted


def test_what_others_write_is_seen_at_once(prefix: str, s3: dict[str, str]) -> None:
    """No listing is kept: a release that another host has just published is there."""
    mine, other = Storage(prefix, s3), Storage(prefix, s3 | {"skip_instance_cache": True})
    assert mine.names() == ()
    other.write_bytes("new", b"1")
    assert mine.names() == ("new",)
    assert mine.exists("new")
    other.remove("new")
    assert (mine.names(), mine.exists("new")) == ((), False)


def test_encryption_by_the_store_is_asked_for_by_fsspecs_own_variable(
    prefix: str, options: dict[str, Any], way: FaultyWay
) -> None:
    """As deploy/HOSTS.md says. fsspec reads it when it is imported, so in a process of its own.

    This store has no keys to encrypt with and refuses; what it was asked is what counts.
    """
    code = f"from mlops_assets.storage.files import Storage; Storage({prefix!r}, {options!r}).write_bytes('x', b'1')"
    asked = '{"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}}'
    for variables, expected in (({}, False), ({"FSSPEC_S3": asked}, True)):
        way.sent.clear()
        command = [sys.executable, "-c", code]
        subprocess.run(
            command, cwd=PROJECT, env=child_environment(variables), check=False, capture_output=True, timeout=90
        )
        assert (b"x-amz-server-side-encryption: aes256" in bytes(way.sent).lower()) is expected
