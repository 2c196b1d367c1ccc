"""Who starts at once, who queues, and that the limit holds when everybody comes at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.storage.dagster_run import RunOpConcurrency

from mlops_assets.runs.admission import AdmissionTimeoutError, admission
from mlops_assets.runs.coordinator import ImmediateRunCoordinator
from tests.unit.runs.recording_launcher import RecordingLauncher

YAML = """
run_launcher: {module: tests.unit.runs.recording_launcher, class: RecordingLauncher}
run_coordinator:
  module: mlops_assets.runs.coordinator
  class: ImmediateRunCoordinator
  config: {%s}
telemetry: {enabled: false}
"""
Open = Callable[..., DagsterInstance]


@dg.op
def nothing() -> None:
    """An op of a job that is never executed here."""


@dg.job
def empty() -> None:
    """The job whose runs are submitted."""
    nothing()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens an instance in a folder of its own with the coordinator's config, and extra YAML."""
    instances = []

    def open_instance(config: str = "max_concurrent_runs: 2", extra: str = "") -> DagsterInstance:
        (tmp_path / "dagster.yaml").write_text(YAML % config + extra)
        instance = DagsterInstance.from_config(str(tmp_path))
        instances.append(instance)
        return instance

    yield open_instance
    for instance in instances:
        instance.dispose()


def submit(instance: DagsterInstance, run: DagsterRun | None = None) -> DagsterRun:
    """Submit a new run as the webserver does; the run afterwards."""
    context = SubmitRunContext(run or instance.create_run_for_job(empty), workspace=cast("object", None))  # type: ignore[arg-type]
    return instance.run_coordinator.submit_run(context)


def launched(instance: DagsterInstance) -> list[str]:
    """Run ids in the order in which they were launched."""
    return cast("RecordingLauncher", instance.run_launcher).launched


def finish(instance: DagsterInstance, run: DagsterRun) -> None:
    """Report a run as canceled, which frees its place."""
    instance.report_run_canceled(run)


def test_runs_start_at_once_while_there_is_room_and_queue_afterwards(opened: Open) -> None:
    instance = opened()
    runs = [submit(instance) for _ in range(3)]
    assert [run.status for run in runs] == [
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.QUEUED,
    ]
    assert launched(instance) == [run.run_id for run in runs[:2]]


def test_nobody_overtakes_a_queued_run(opened: Open) -> None:
    instance = opened()
    first, _, waiting = (submit(instance) for _ in range(3))
    finish(instance, first)
    assert submit(instance).status == DagsterRunStatus.QUEUED
    assert waiting.run_id not in launched(instance)


def test_a_simultaneous_crowd_keeps_the_limit(opened: Open) -> None:
    instance = opened("max_concurrent_runs: 3")
    runs = [instance.create_run_for_job(empty) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda run: submit(instance, run), runs))
    assert len(launched(instance)) == 3
    assert instance.get_runs_count(dg.RunsFilter(statuses=[DagsterRunStatus.QUEUED])) == 9


@pytest.mark.parametrize(("limit", "status"), [("0", "QUEUED"), ("-1", "STARTING")])
def test_zero_stops_all_runs_and_minus_one_lifts_the_limit(opened: Open, limit: str, status: str) -> None:
    instance = opened(f"max_concurrent_runs: {limit}")
    assert {submit(instance).status.value for _ in range(4)} == {status}


def test_limits_by_tag_are_left_to_the_daemon(opened: Open) -> None:
    instance = opened("max_concurrent_runs: 5, tag_concurrency_limits: [{key: product, limit: 1}]")
    assert submit(instance).status == DagsterRunStatus.QUEUED


def test_runs_with_pools_are_left_to_the_daemon(opened: Open) -> None:
    instance = opened()
    run = instance.create_run_for_job(empty)._replace(
        run_op_concurrency=RunOpConcurrency(
            root_key_counts={"gpu": 1}, has_unconstrained_root_nodes=False, all_pools={"gpu"}
        )
    )
    assert submit(instance, run).status == DagsterRunStatus.QUEUED


def test_concurrency_settings_of_the_instance_win(opened: Open) -> None:
    instance = opened("dequeue_interval_seconds: 1", "concurrency: {runs: {max_concurrent_runs: 1}}\n")
    assert [submit(instance).status.value for _ in range(2)] == ["STARTING", "QUEUED"]


def test_the_daemon_takes_it_for_a_queued_coordinator(opened: Open) -> None:
    from dagster._daemon.controller import create_daemons_from_instance

    instance = opened()
    names = {type(daemon).__name__ for daemon in create_daemons_from_instance(instance)}
    assert "QueuedRunCoordinatorDaemon" in names


def test_a_submitted_run_is_not_launched_twice(opened: Open) -> None:
    instance = opened()
    run = submit(instance)
    assert submit(instance, run).status == DagsterRunStatus.STARTING
    assert launched(instance) == [run.run_id]


def test_a_launch_that_fails_is_raised_and_leaves_no_place_reserved(opened: Open) -> None:
    instance = opened("max_concurrent_runs: 1")
    cast("RecordingLauncher", instance.run_launcher).broken = True
    run = instance.create_run_for_job(empty)
    with pytest.raises(RuntimeError, match="launcher is broken"):
        submit(instance, run)
    coordinator = cast("ImmediateRunCoordinator", instance.run_coordinator)
    other = submit(instance)
    assert other.status == DagsterRunStatus.QUEUED
    assert coordinator.admits(instance.get_run_by_id(run.run_id) or run)


def test_a_dequeued_run_that_would_exceed_the_limit_goes_back_to_the_queue(opened: Open) -> None:
    instance = opened("max_concurrent_runs: 1")
    submit(instance)
    late = submit(instance)
    starting = dg.DagsterEvent(event_type_value="PIPELINE_STARTING", job_name="empty")
    instance.report_dagster_event(starting, run_id=late.run_id)
    late = instance.get_run_by_id(late.run_id) or late
    assert not cast("ImmediateRunCoordinator", instance.run_coordinator).admits(late)
    again = instance.get_run_by_id(late.run_id)
    assert again is not None
    assert again.status == DagsterRunStatus.QUEUED


def test_a_run_queues_when_the_door_is_blocked(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = opened()
    monkeypatch.setattr("mlops_assets.runs.admission.TIMEOUT_SECONDS", 0.1)
    with admission(instance), ThreadPoolExecutor(1) as pool:
        run = pool.submit(submit, instance).result(30)
    assert run.status == DagsterRunStatus.QUEUED
    assert launched(instance) == []


def test_the_file_lock_holds_between_processes(opened: Open, tmp_path: Path) -> None:
    import fcntl
    import os

    instance = opened()
    handle = os.open(Path(instance.root_directory, "admission.lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with (
            pytest.raises(AdmissionTimeoutError, match="another process"),
            admission(instance, timeout_seconds=0.05),
        ):
            pass
    finally:
        os.close(handle)
    with admission(instance, timeout_seconds=5):
        pass
