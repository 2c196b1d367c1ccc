"""A disk that is full is named, what serves goes on, and the next run works."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.conftest import write_loans
from tests.integration.graph_faults.loans_run import run_in_child


@pytest.fixture
def small_disk(home: Settings) -> Iterator[Path | None]:
    """A disk of 4 MB as the storage root; None where this process may not mount one."""
    root = Path(home.storage)
    root.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)], capture_output=True, check=False, timeout=20
    )
    if done.returncode != 0:
        yield None
        return
    yield root
    subprocess.run(["umount", "-l", str(root)], check=True, timeout=20)


@pytest.mark.parametrize("left_kilobytes", [0, 100])
def test_a_full_disk_is_named_and_the_next_run_works(
    small_disk: Path | None, place: str, database: Database, tmp_path: Path, left_kilobytes: int
) -> None:
    assert run_in_child(place)[1]
    # Other content, so that nothing of it is kept yet; 100 kB are enough for the raw file, not for the features.
    source = Path(json.loads(place)["source"])
    write_loans(source, 4000, seed=5)
    before = Ledger(database).state("loans")
    if small_disk is not None:
        filler = small_disk / "filler"
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        filler.write_bytes(bytes(free - left_kilobytes * 1000))
        _, success, words = run_in_child(place)
        filler.unlink()
        assert "no space left" in words
        assert "MB free" in words
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            _, success, words = pool.submit(run_in_child, place, 1000 * max(left_kilobytes, 20)).result(timeout=100)
        assert "file size limit" in words
    assert not success
    # A limit on a file's size is met by the first large one, which is the fetched copy.
    assert (json.loads(place)["home"] if small_disk is not None else "/raw.csv") in words
    assert Ledger(database).state("loans") == before
    assert run_in_child(place)[1], "with space again, the same data is trained on"
    assert Ledger(database).state("loans").candidate == 2
