"""Google's and Azure's stores that refuse, lack the bucket, are closed or hang: told, given up, nothing half there."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from mlops_assets.storage import azure, gcs
from mlops_assets.storage.files import Storage, StorageError
from tests.faulty_way import FaultyWay, faulty_way
from tests.integration.clouds.emulators import Cloud


@pytest.fixture
def way(cloud: Cloud) -> Iterator[FaultyWay]:
    with faulty_way("127.0.0.1", cloud.port) as found:
        yield found


def test_a_store_that_refuses_is_told_without_showing_a_secret(cloud: Cloud, url: str) -> None:
    refused = Storage(url, cloud.refused)
    asked = (
        lambda: refused.write_bytes("x", b"1"), lambda: refused.read_bytes("x"), lambda: refused.exists("x"),
        lambda: refused.remove("x"), refused.names,
    )  # fmt: skip
    for ask in asked:
        with pytest.raises(StorageError, match=url) as told:
            ask()
        assert len(str(told.value).splitlines()) == 1
        assert not [word for word in ("AccountKey", "RequestId", "bm90LXRoZS1zZWNyZXQ") if word in str(told.value)]


def test_a_bucket_that_there_is_not_is_told(cloud: Cloud) -> None:
    elsewhere = Storage(cloud.url.replace("store", "elsewhere"), cloud.options)
    with pytest.raises(StorageError, match=r"elsewhere/x: .*(no such bucket or container|container does not exist)"):
        elsewhere.write_bytes("x", b"1")
    assert not elsewhere.exists("x")


@pytest.mark.parametrize("fault", ["closed", "silent"])
def test_a_store_that_cannot_be_had_is_told_and_given_up(
    cloud: Cloud, url: str, way: FaultyWay, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(seconds: float) -> None:
        """Google's library pauses for half a minute between its tries."""

    monkeypatch.setattr("gcsfs.retry.asyncio", SimpleNamespace(sleep=at_once))
    for limits in (azure, gcs):
        monkeypatch.setattr(limits, "READ_SECONDS", 1)
    monkeypatch.setattr(azure, "PAUSE_SECONDS", 0)
    storage = Storage(url, {**cloud.at(way.port), "skip_instance_cache": True})
    storage.write_bytes("before", b"1")
    setattr(way, fault, True)
    with pytest.raises(StorageError, match=f"{url}/before"):
        storage.read_bytes("before")
    with pytest.raises(StorageError, match=f"{url}/after"):
        storage.write_bytes("after", b"2")
    setattr(way, fault, False)
    assert storage.names() == ("before",)
