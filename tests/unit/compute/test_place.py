"""Where work is done: by setting and size, and on this machine when the cluster can't be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mlops_assets.compute import place
from mlops_assets.compute.cluster import ClusterError, differences
from mlops_assets.compute.installed import installed
from mlops_assets.compute.place import HERE, place_of_work
from mlops_assets.settings import Settings

ADDRESS = "tcp://scheduler:8786"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a client was opened for, of a cluster with one worker."""
    addresses: list[str] = []

    @contextmanager
    def connected(address: str) -> Iterator[Any]:
        addresses.append(address)
        yield object()

    monkeypatch.setattr(place, "connected", connected)
    monkeypatch.setattr(place, "worker_threads", lambda address, client: [1])
    return addresses


def said(settings: Settings, rows: int) -> str:
    with place_of_work(settings, rows, pytest.fail) as found:
        assert (found.client is None) == (found.said == HERE)
        return found.said


def test_without_a_setting_no_cluster_is_asked(asked: list[str]) -> None:
    assert said(Settings(), 10**9) == HERE
    assert asked == []


def test_few_rows_stay_here_and_many_go_to_the_cluster(asked: list[str]) -> None:
    settings = Settings(dask_address=ADDRESS, dask_min_rows=100)
    assert said(settings, 99) == HERE
    assert said(settings, 100) == f"1 Dask worker at {ADDRESS}"
    assert asked == [ADDRESS]


def test_a_cluster_that_cant_be_had_is_told_of_and_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def connected(address: str) -> Iterator[Any]:
        raise ClusterError(address, "nobody there")
        yield

    monkeypatch.setattr(place, "connected", connected)
    heard: list[str] = []
    with place_of_work(Settings(dask_address=ADDRESS), 10**6, heard.append) as found:
        assert found.client is None
        assert found.said == f"{HERE}, because of MLOPS_DASK_ADDRESS={ADDRESS}: nobody there"
    assert len(heard) == 1
    assert found.said in heard[0]


def test_workers_differ_by_a_version_or_by_what_they_lack() -> None:
    mine = installed()
    assert differences({"one": mine, "two": dict(mine)}) == []
    without = {name: version for name, version in mine.items() if name != "scipy"}
    assert differences({"one": mine, "two": without, "three": {**mine, "numpy": "1.0"}}) == [
        f"numpy is 1.0 on workers, {mine['numpy']} here",
        f"scipy is not there on workers, {mine['scipy']} here",
    ]
