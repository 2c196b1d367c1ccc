"""Who starts at once, who queues, and that the limit holds when everybody comes at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.storage.dagster_run import RunOpConcurrency

from mlops_assets.runs.admission import AdmissionTimeoutError, admission
from mlops_assets.runs.coordinator import ImmediateRunCoordinator
from tests.unit.runs.conftest import MakeInstance, new_run
from tests.unit.runs.recording_launcher import RecordingLauncher


def opened(make: MakeInstance, settings: object = None, **config: Any) -> DagsterInstance:
    """An instance with the coordinator so configured, at most two runs unless it says otherwise."""
    coordinator = ImmediateRunCoordinator(**{"max_concurrent_runs": 2, **config})
    return make(coordinator, RecordingLauncher(), settings)


def submit(instance: DagsterInstance, run: DagsterRun | None = None) -> DagsterRun:
    """Submit a new run as the webserver does; the run afterwards."""
    context = SubmitRunContext(run or new_run(instance), workspace=cast("Any", None))
    return instance.run_coordinator.submit_run(context)


def launched(instance: DagsterInstance) -> list[str]:
    """Run ids in the order in which they were launched."""
    return cast("RecordingLauncher", instance.run_launcher).launched


def finish(instance: DagsterInstance, run: DagsterRun) -> None:
    """Report a run as canceled, which frees its place."""
    instance.report_run_canceled(run)


def test_runs_start_at_once_while_there_is_room_and_queue_afterwards(make_instance: MakeInstance) -> None:
    instance = opened(make_instance)
    runs = [submit(instance) for _ in range(3)]
    assert [run.status for run in runs] == [
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.QUEUED,
    ]
    assert launched(instance) == [run.run_id for run in runs[:2]]


def test_nobody_overtakes_a_queued_run(make_instance: MakeInstance) -> None:
    instance = opened(make_instance)
    first, _, waiting = (submit(instance) for _ in range(3))
    finish(instance, first)
    assert submit(instance).status == DagsterRunStatus.QUEUED
    assert waiting.run_id not in launched(instance)


def test_a_simultaneous_crowd_keeps_the_limit(tmp_path: Path) -> None:
    # Storage in memory can't be written by several threads, so this one instance has files.
    (tmp_path / "dagster.yaml").write_text(
        "run_launcher: {module: tests.unit.runs.recording_launcher, class: RecordingLauncher}\n"
        "run_coordinator: {module: mlops_assets.runs.coordinator, class: ImmediateRunCoordinator,"
        " config: {max_concurrent_runs: 3}}\ntelemetry: {enabled: false}\n"
    )
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        runs = [new_run(instance) for _ in range(12)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda run: submit(instance, run), runs))
        assert len(launched(instance)) == 3
        assert instance.get_runs_count(dg.RunsFilter(statuses=[DagsterRunStatus.QUEUED])) == 9


@pytest.mark.parametrize(("limit", "status"), [(0, "QUEUED"), (-1, "STARTING")])
def test_zero_stops_all_runs_and_minus_one_lifts_the_limit(
    make_instance: MakeInstance, limit: int, status: str
) -> None:
    instance = opened(make_instance, max_concurrent_runs=limit)
    assert {submit(instance).status.value for _ in range(4)} == {status}


TRAININGS = [
    {"key": "training", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
    {"key": "training", "limit": 2},
]


def training(instance: DagsterInstance, product: str) -> DagsterRun:
    """A submitted run that carries a limited tag."""
    return submit(instance, new_run(instance, tags={"training": product}))


def test_a_run_starts_at_once_unless_its_own_tag_is_at_its_limit(make_instance: MakeInstance) -> None:
    instance = opened(make_instance, max_concurrent_runs=20, tag_concurrency_limits=TRAININGS)
    products = ["homes", "homes", "loans", "cars"]
    assert [training(instance, product).status.value for product in products] == [
        "STARTING",
        "QUEUED",
        "STARTING",
        "QUEUED",
    ]
    assert submit(instance).status == DagsterRunStatus.STARTING


def test_a_queued_run_that_could_start_is_not_overtaken(make_instance: MakeInstance) -> None:
    instance = opened(make_instance, max_concurrent_runs=20, tag_concurrency_limits=TRAININGS)
    first, second = training(instance, "homes"), training(instance, "homes")
    finish(instance, first)
    assert submit(instance).status == DagsterRunStatus.QUEUED
    assert training(instance, "homes").status == DagsterRunStatus.QUEUED
    assert second.run_id not in launched(instance)


def test_a_run_that_waits_for_a_pool_holds_nobody_up(make_instance: MakeInstance) -> None:
    instance = opened(make_instance)
    run = new_run(instance)
    instance.delete_run(run.run_id)
    submit(instance, instance.run_storage.add_run(with_pool(run)))
    assert submit(instance).status == DagsterRunStatus.STARTING


def test_a_dequeued_run_above_a_limit_by_tag_goes_back_to_the_queue(make_instance: MakeInstance) -> None:
    instance = opened(make_instance, max_concurrent_runs=-1, tag_concurrency_limits=TRAININGS)
    training(instance, "homes")
    late = training(instance, "homes")
    starting = dg.DagsterEvent(event_type_value="PIPELINE_STARTING", job_name="empty")
    instance.report_dagster_event(starting, run_id=late.run_id)
    late = instance.get_run_by_id(late.run_id) or late
    assert not cast("ImmediateRunCoordinator", instance.run_coordinator).admits(late)
    again = instance.get_run_by_id(late.run_id)
    assert again is not None
    assert again.status == DagsterRunStatus.QUEUED


def test_a_limit_by_tag_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAININGS", "3")
    (tmp_path / "dagster.yaml").write_text(
        "run_coordinator: {module: mlops_assets.runs.coordinator, class: ImmediateRunCoordinator, config: {"
        " tag_concurrency_limits: [{key: training, limit: {env: TRAININGS}}], retry_delay_seconds: 7}}\n"
        "telemetry: {enabled: false}\n"
    )
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        config = instance.get_concurrency_config().run_queue_config
        assert config is not None
        assert list(config.tag_concurrency_limits) == [{"key": "training", "limit": 3}]


RETRIES = {"run_retries": {"enabled": True, "max_retries": 3}}


def retry_of(instance: DagsterInstance, parent: DagsterRun, number: int = 1) -> DagsterRun:
    """A submitted run as Dagster's daemon makes it for a run that died."""
    tags = {"dagster/retry_number": str(number), "dagster/parent_run_id": parent.run_id}
    return submit(instance, new_run(instance, parent_run_id=parent.run_id, root_run_id=parent.run_id, tags=tags))


def test_a_retry_waits_its_time_in_the_queue_and_holds_nobody_up(
    make_instance: MakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    instance = opened(make_instance, RETRIES, max_concurrent_runs=5, retry_delay_seconds=100)
    died = submit(instance)
    finish(instance, died)
    retry = retry_of(instance, died)
    assert retry.status == DagsterRunStatus.QUEUED
    assert submit(instance).status == DagsterRunStatus.STARTING
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)

    def due(after: float) -> list[str]:
        monkeypatch.setattr("mlops_assets.runs.coordinator.time.time", lambda: made + after)
        return [run.run_id for run in daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)]

    record = instance.get_run_record_by_id(retry.run_id)
    assert record is not None
    made = record.create_timestamp.timestamp()
    assert due(after=70) == []
    assert due(after=130) == [retry.run_id]


def test_a_retry_that_the_daemon_took_too_early_goes_back_to_the_queue(
    make_instance: MakeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The daemon asks for the limits and then reads the queue; this retry was queued in between.
    instance = opened(make_instance, RETRIES, max_concurrent_runs=5, retry_delay_seconds=100)
    died = submit(instance)
    finish(instance, died)
    retry = retry_of(instance, died)
    coordinator = cast("ImmediateRunCoordinator", instance.run_coordinator)
    record = instance.get_run_record_by_id(retry.run_id)
    assert record is not None
    made = record.create_timestamp.timestamp()

    def admitted(after: float) -> bool:
        starting = DagsterEvent(event_type_value=DagsterEventType.PIPELINE_STARTING.value, job_name=retry.job_name)
        instance.report_dagster_event(starting, run_id=retry.run_id)
        monkeypatch.setattr("mlops_assets.runs.coordinator.time.time", lambda: made + after)
        return coordinator.admits(instance.get_run_by_id(retry.run_id) or retry)

    assert not admitted(after=70)
    again = instance.get_run_by_id(retry.run_id)
    assert again is not None
    assert again.status == DagsterRunStatus.QUEUED
    assert admitted(after=130)


def with_pool(run: DagsterRun) -> DagsterRun:
    """The same run, one of whose ops needs a pool."""
    pools = RunOpConcurrency(root_key_counts={"gpu": 1}, has_unconstrained_root_nodes=False, all_pools={"gpu"})
    return run._replace(run_op_concurrency=pools)


def test_runs_with_pools_are_left_to_the_daemon(make_instance: MakeInstance) -> None:
    instance = opened(make_instance)
    assert submit(instance, with_pool(new_run(instance))).status == DagsterRunStatus.QUEUED


def test_concurrency_settings_of_the_instance_win(make_instance: MakeInstance) -> None:
    instance = opened(make_instance, {"concurrency": {"runs": {"max_concurrent_runs": 1}}})
    assert [submit(instance).status.value for _ in range(2)] == ["STARTING", "QUEUED"]


def test_the_daemon_dequeues_what_it_queued(make_instance: MakeInstance) -> None:
    from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

    instance = opened(make_instance, max_concurrent_runs=1)
    first, waiting = submit(instance), submit(instance)
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)

    def due() -> list[str]:
        config = instance.get_concurrency_config()
        return [run.run_id for run in daemon._get_runs_to_dequeue(instance, config, None)]

    assert due() == []
    finish(instance, first)
    assert due() == [waiting.run_id]


def test_a_submitted_run_is_not_launched_twice(make_instance: MakeInstance) -> None:
    instance = opened(make_instance)
    run = submit(instance)
    assert submit(instance, run).status == DagsterRunStatus.STARTING
    assert launched(instance) == [run.run_id]


def test_a_launch_that_fails_is_raised_and_leaves_no_place_reserved(make_instance: MakeInstance) -> None:
    instance = opened(make_instance, max_concurrent_runs=1)
    cast("RecordingLauncher", instance.run_launcher).broken = True
    run = new_run(instance)
    with pytest.raises(RuntimeError, match="launcher is broken"):
        submit(instance, run)
    coordinator = cast("ImmediateRunCoordinator", instance.run_coordinator)
    other = submit(instance)
    assert other.status == DagsterRunStatus.QUEUED
    assert coordinator.admits(instance.get_run_by_id(run.run_id) or run)


def test_a_dequeued_run_that_would_exceed_the_limit_goes_back_to_the_queue(
    make_instance: MakeInstance,
) -> None:
    instance = opened(make_instance, max_concurrent_runs=1)
    submit(instance)
    late = submit(instance)
    starting = dg.DagsterEvent(event_type_value="PIPELINE_STARTING", job_name="empty")
    instance.report_dagster_event(starting, run_id=late.run_id)
    late = instance.get_run_by_id(late.run_id) or late
    assert not cast("ImmediateRunCoordinator", instance.run_coordinator).admits(late)
    again = instance.get_run_by_id(late.run_id)
    assert again is not None
    assert again.status == DagsterRunStatus.QUEUED


def test_a_run_queues_when_the_door_is_blocked(make_instance: MakeInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = opened(make_instance)
    monkeypatch.setattr("mlops_assets.runs.admission.TIMEOUT_SECONDS", 0.1)
    with admission(instance), ThreadPoolExecutor(1) as pool:
        run = pool.submit(submit, instance).result(30)
    assert run.status == DagsterRunStatus.QUEUED
    assert launched(instance) == []


def test_the_file_lock_holds_between_processes(make_instance: MakeInstance) -> None:
    import fcntl
    import os

    instance = opened(make_instance)
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


def test_a_run_of_a_location_gets_its_tags_whoever_starts_it(make_instance: MakeInstance) -> None:
    entries = [{"location": "location", "tags": {"who": "anybody", "kind": "declared"}}]
    instance = opened(make_instance, location_tags=entries)
    run = submit(instance, new_run(instance, tags={"who": "me"}))
    assert (run.tags["who"], run.tags["kind"]) == ("me", "declared")
    other = opened(make_instance, location_tags=[{**entries[0], "location": "another"}])
    assert "kind" not in submit(other).tags
