"""Which step should have ended: limits from the plan, times from the log, and how a run is told of it."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.execution.api import create_execution_plan
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.snap.execution_plan_snapshot import snapshot_from_execution_plan
from dagster._time import get_current_timestamp

from mlops_assets.runs.overdue import Watch, at_work, limits_of, report_overdue, report_run_over_time
from mlops_assets.runs.stages import Stage
from tests.unit.runs.conftest import MakeInstance, new_run
from tests.unit.runs.recording_launcher import RecordingLauncher

LIMIT, GRACE = 100.0, 30.0
START, RESTART = DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED
SUCCESS, AGAIN = DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_UP_FOR_RETRY


@dg.op(tags=Stage("homes", "model", LIMIT).op_tags)
def model() -> None:
    """A step with a limit."""


@dg.op
def other() -> None:
    """A step without one."""


@dg.job
def train() -> None:
    """Two steps, one of them limited."""
    model()
    other()


@pytest.fixture
def instance(make_instance: MakeInstance) -> DagsterInstance:
    return make_instance(DefaultRunCoordinator(), RecordingLauncher())


def training(instance: DagsterInstance) -> DagsterRun:
    """A run of the limited job in progress."""
    return instance.create_run_for_job(train, status=DagsterRunStatus.STARTED)


def report(instance: DagsterInstance, run: DagsterRun, kind: DagsterEventType, step: str = "model") -> None:
    """Write a step's event into the run's log, now."""
    instance.report_dagster_event(DagsterEvent(kind.value, job_name="train", step_key=step), run_id=run.run_id)


def test_the_plan_tells_the_limits() -> None:
    plan = snapshot_from_execution_plan(create_execution_plan(train), "any")
    (limit,) = limits_of(plan).items()
    assert limit[0] == "model"
    assert (limit[1].title, limit[1].seconds) == ("stage model of homes", LIMIT)


def test_a_step_is_at_work_from_its_newest_start() -> None:
    assert at_work([("a", START, 1), ("b", START, 2), ("a", SUCCESS, 3)]) == {"b": 2}
    assert at_work([("a", START, 1), ("a", AGAIN, 2)]) == {}
    assert at_work([("a", START, 1), ("a", AGAIN, 2), ("a", RESTART, 9)]) == {"a": 9}
    assert at_work([(None, START, 1)]) == {}


@pytest.mark.parametrize(("after", "late"), [(LIMIT, False), (LIMIT + GRACE - 1, False), (LIMIT + GRACE + 1, True)])
def test_a_step_is_overdue_after_its_limit_and_the_grace(instance: DagsterInstance, after: float, late: bool) -> None:
    run = training(instance)
    report(instance, run, START)
    report(instance, run, START, step="other")
    found = Watch(GRACE).overdue(instance, run, get_current_timestamp() + after)
    assert (found is not None) is late
    if found is not None:
        assert found.step == "model"
        assert "stage model of homes took longer than 100 s" in found.said(GRACE)


def test_a_finished_step_is_never_overdue(instance: DagsterInstance) -> None:
    run = training(instance)
    report(instance, run, START)
    report(instance, run, DagsterEventType.STEP_SKIPPED)
    assert Watch(GRACE).overdue(instance, run, get_current_timestamp() + 10_000) is None


def test_a_run_without_limits_is_never_overdue(instance: DagsterInstance) -> None:
    run = new_run(instance, status=DagsterRunStatus.STARTED)
    report(instance, run, START, step="nothing")
    assert Watch(GRACE).overdue(instance, run, get_current_timestamp() + 10_000) is None


def test_the_run_and_its_step_are_told_as_failed_once(instance: DagsterInstance) -> None:
    run = training(instance)
    for _ in range(2):
        report_overdue(instance, run.run_id, "model", "took too long")
    again = instance.get_run_by_id(run.run_id)
    assert again is not None
    assert again.status == DagsterRunStatus.FAILURE
    assert again.tags["dagster/failure_reason"] == "STEP_FAILURE"
    failures = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_FAILURE).records
    assert [record.event_log_entry.step_key for record in failures] == ["model"]


def test_a_run_that_ended_meanwhile_stays_as_it_is(instance: DagsterInstance) -> None:
    run = training(instance)
    report(instance, run, DagsterEventType.PIPELINE_SUCCESS)
    report_overdue(instance, run.run_id, "model", "took too long")
    again = instance.get_run_by_id(run.run_id)
    assert again is not None
    assert again.status == DagsterRunStatus.SUCCESS


@pytest.mark.parametrize(("after", "late"), [(99, False), (102, True)])
def test_a_run_over_its_own_time_has_failed_and_is_not_retried(
    instance: DagsterInstance, after: float, late: bool
) -> None:
    run = instance.create_run_for_job(train, tags={"dagster/max_runtime": "100"})
    report(instance, run, DagsterEventType.PIPELINE_START)
    assert report_run_over_time(instance, run.run_id, get_current_timestamp() + after) is late
    again = instance.get_run_by_id(run.run_id)
    assert again is not None
    assert (again.status == DagsterRunStatus.FAILURE) is late
    assert again.tags.get("dagster/failure_reason") == ("STEP_FAILURE" if late else None)
