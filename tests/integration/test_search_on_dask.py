"""The search on real Dask workers: the result of one machine's, whatever is lost on the way."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlops_assets.compute import cluster
from mlops_assets.compute.cluster import ClusterError, workers_of
from mlops_assets.compute.place import HERE, Place, place_of_work
from mlops_assets.installation import doctor
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.training import trial_places
from mlops_assets.training.fit import search_and_fit
from mlops_assets.training.search import SearchResult, Trial, search
from mlops_assets.training.trials import TrainingSet
from tests.integration.dask_cluster import mortal_scheduler, running_scheduler, running_worker
from tests.integration.test_search import EVERY_FAMILY, spec, training_set
from tests.servers import free_port
from tests.unit.training import made_data

# Long enough that it is at work when something is killed after its first trial.
LASTING = [{"family": "boosting", "grid": {"max_iter": [10, 60, 61, 62], "min_samples_leaf": [5]}}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dask")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """A scheduler with two workers."""
    with running_scheduler(folder) as found, ExitStack() as workers:
        for _ in range(2):
            workers.enter_context(running_worker(found, folder))
        yield found


@pytest.fixture(scope="module")
def alone() -> SearchResult:
    """What one process of this machine finds."""
    return search(training_set(), spec(*LASTING))


def on(address: str, heard: list[str] | None = None) -> Any:
    """The place of work of an installation with this cluster."""
    return place_of_work(Settings(dask_address=address), 5000, (heard if heard is not None else []).append)


def lasting(
    place: Place, at_first: Any = lambda: None, data: TrainingSet | None = None, times: int = 1
) -> SearchResult:
    """The search of `alone` there; `at_first` is called when the first trial is finished, or so many of the first."""
    heard: list[Trial] = []

    def hear(trial: Trial) -> None:
        heard.append(trial)
        if len(heard) <= times:
            at_first()

    return search(data or training_set(), spec(*LASTING), hear, place)


def same(found: SearchResult, other: SearchResult) -> None:
    assert [(t.family, t.params) for t in found.trials] == [(t.family, t.params) for t in other.trials]
    assert [t.score for t in found.trials] == [t.score for t in other.trials]
    assert [t.fold_scores for t in found.trials] == [t.fold_scores for t in other.trials]
    for mine, theirs in zip(found.out_of_fold, other.out_of_fold, strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("target", ["value", "grade"])
def test_workers_find_bit_for_bit_what_one_machine_finds(address: str, target: str) -> None:
    wanted = spec(*EVERY_FAMILY, score="mae" if target == "value" else "log_loss")
    data = training_set(target)
    with on(address) as place:
        found = search(data, wanted, place=place)
        assert place.said == f"2 Dask workers at {address}"
    same(found, search(data, wanted))


def test_the_intervals_cross_validation_is_done_there_too(address: str) -> None:
    product = made_data.product(interval={"folds": 4})
    data = training_set()
    with on(address) as place:
        found, there = search_and_fit(product, data, place=place)
        assert "2 Dask workers" in place.said
    again, here = search_and_fit(product, data)
    same(found, again)
    answers, wanted = there.predict(data.views[0]), here.predict(data.views[0])
    assert all(np.array_equal(answers[name], wanted[name]) for name in ("estimate", "low", "high"))


def test_a_killed_workers_trials_are_done_again_by_the_other(address: str, folder: Path, alone: SearchResult) -> None:
    with running_worker(address, folder) as third, on(address) as place:
        assert place.said == f"3 Dask workers at {address}"
        found = lasting(place, lambda: third.send_signal(signal.SIGKILL))
        assert place.said == f"3 Dask workers at {address}", "the cluster went on"
        assert third.wait(20) == -signal.SIGKILL
    same(found, alone)


@pytest.mark.parametrize("times", [1, 0])
def test_what_a_killed_worker_alone_had_is_sent_to_one_that_takes_its_place(
    folder: Path, alone: SearchResult, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    # In a row: a second worker is lost after a trial was done.
    monkeypatch.setattr(trial_places, "SENT_AGAIN", times)
    with ExitStack() as opened:
        found_at = opened.enter_context(running_scheduler(folder))
        workers = [opened.enter_context(running_worker(found_at, folder))]
        place = opened.enter_context(on(found_at))

        def replace_it() -> None:
            workers[-1].kill()
            workers.append(opened.enter_context(running_worker(found_at, folder)))

        found = lasting(place, replace_it, times=2)
        lost = f"{HERE}, because of MLOPS_DASK_ADDRESS={found_at}: a worker was lost with the only copy of data"
        assert place.said == (f"1 Dask worker at {found_at}" if times else lost)
    same(found, alone)


def test_a_cluster_that_has_no_worker_just_when_the_search_begins_does_all_of_it(
    address: str, alone: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_places, "worker_threads", lambda *_: [])
    with on(address) as place:
        found = lasting(place)
        assert "2 Dask workers" in place.said
    same(found, alone)


def test_a_result_whose_worker_died_before_it_was_fetched_is_made_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "FETCH_SECONDS", 3.0)
    with running_scheduler(folder) as found_at, running_worker(found_at, folder) as only, on(found_at) as place:
        assert place.client is not None
        task = place.client.submit(slow_again, str(tmp_path / "ran"), pure=False)
        assert task.result(timeout=60) == 1
        only.kill()
        with running_worker(found_at, folder):
            assert list(cluster.results(found_at, place.client, [task], time.monotonic() + 100)) == [1]


def slow_again(file: str) -> int:
    """At once the first time, then longer than a result is waited for."""
    if Path(file).exists():
        time.sleep(5)
    Path(file).touch()
    return 1


def test_what_is_left_is_done_here_when_the_scheduler_is_killed(folder: Path, alone: SearchResult) -> None:
    heard: list[str] = []
    with (
        mortal_scheduler(folder) as (found_at, scheduler),
        running_worker(found_at, folder),
        on(found_at, heard) as place,
    ):
        found = lasting(place, scheduler.kill)
        assert place.said.startswith(f"{HERE}, because of MLOPS_DASK_ADDRESS={found_at}: ")
    assert len(heard) == 1
    same(found, alone)


def test_what_is_left_is_done_here_when_no_worker_is_left(
    folder: Path, alone: SearchResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "WORKERLESS_SECONDS", 1.0)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.2)
    with running_scheduler(folder) as found_at, running_worker(found_at, folder) as only, on(found_at) as place:
        found = lasting(place, only.kill)
        assert "MLOPS_DASK_ADDRESS" in place.said
    same(found, alone)


def test_the_doctor_counts_workers(address: str) -> None:
    answer = doctor._dask(Settings(dask_address=address))
    assert answer.good
    assert f"{address}, 2 workers" in answer.said


def test_a_fault_of_a_trial_is_an_error_and_no_reason_to_leave_the_cluster(address: str) -> None:
    with on(address) as place:
        with pytest.raises(ValueError, match="alpha"):
            search(training_set(), spec({"family": "ridge", "grid": {"alpha": [-1.0]}}), place=place)
        assert "2 Dask workers" in place.said


def test_the_time_limit_keeps_what_workers_have_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Trial] = []
    # The limit passes when the first trial is finished, however busy the machine is.
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + (1e6 if heard else 0.0))
    monkeypatch.setattr(cluster, "time", clock)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.2)
    endless = {"family": "forest", "grid": {"n_estimators": [200_000]}}
    wanted = spec({"family": "linear"}, endless, timeout_seconds=250)
    with running_scheduler(folder) as found_at, running_worker(found_at, folder) as worker, on(found_at) as place:
        found = search(training_set(), wanted, heard.append, place)
        # It can't be interrupted.
        worker.kill()
    assert found.best.family == "linear"
    assert [family for family, _ in found.unfinished] == ["forest"]


def test_a_trial_that_costs_workers_is_named_and_not_tried_here(folder: Path) -> None:
    endless = {"family": "forest", "grid": {"n_estimators": [200_000]}}
    wanted = spec({"family": "linear"}, endless, timeout_seconds=250)
    with ExitStack() as opened:
        once = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        found_at = opened.enter_context(running_scheduler(folder, once))
        worker, other = (opened.enter_context(running_worker(found_at, folder)) for _ in range(2))
        place = opened.enter_context(on(found_at))
        with pytest.raises(RuntimeError, match=f"1 worker of MLOPS_DASK_ADDRESS={found_at} .*_attempt_there.*memory"):
            search(training_set(), wanted, lambda trial: worker.kill(), place)
        # What it does can't be interrupted.
        other.kill()


def test_a_scheduler_that_nobody_hears_of_is_told_within_the_time_limit() -> None:
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(ClusterError, match=f"MLOPS_DASK_ADDRESS={nowhere}: "):
        workers_of(nowhere, seconds=1)
    assert time.monotonic() - began < 30


def test_neither_a_scheduler_without_workers_is_used_nor_workers_with_other_code(folder: Path) -> None:
    other = folder / "other"
    shutil.copytree(PROJECT / "mlops_assets", other / "mlops_assets", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "mlops_assets" / "training" / "families.py").open("a") as file:
        file.write("# Another default.\n")
    environment = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(other)}
    heard: list[str] = []
    with ExitStack() as opened:
        found_at = opened.enter_context(running_scheduler(folder))
        with pytest.raises(ClusterError, match="has no worker after 1 s"):
            workers_of(found_at, seconds=1)
        opened.enter_context(running_worker(found_at, folder, environment))
        place = opened.enter_context(on(found_at, heard))
        assert place.client is None
        answer = doctor._dask(Settings(dask_address=found_at))
        assert not answer.good
        assert answer.said in heard[0]
    assert "this project is " in heard[0]
    assert "start the workers anew" in heard[0]
