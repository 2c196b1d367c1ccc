"""Stages of runs, read from what a Dagster instance really recorded of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.pipelines import run_records, stage_events
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.stage_events import RunLog
from mlops_assets.pipelines.stage_runs import StageRun, faults, first_fault, stage_runs
from tests.unit.pipelines.fabricated_runs import executed, recorded, spec_of, tell
from tests.unit.pipelines.made_pipelines import stage


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def stages(instance: DagsterInstance, spec: PipelineSpec, run_id: str, *parents: str) -> dict[str, StageRun]:
    """The stages of a run by name, in execution order."""
    run = run_records.one(instance, run_id)
    assert run is not None
    earlier = [stage_events.read(instance, parent) for parent in parents]
    return {one.stage.name: one for one in stage_runs(run, spec, stage_events.read(instance, run_id), earlier)}


def states(instance: DagsterInstance, spec: PipelineSpec, run_id: str, *parents: str) -> dict[str, str]:
    return {name: one.status.value for name, one in stages(instance, spec, run_id, *parents).items()}


def fault(instance: DagsterInstance, spec: PipelineSpec, run_id: str) -> str | None:
    run = run_records.one(instance, run_id)
    assert run is not None
    log = stage_events.read(instance, run_id)
    return first_fault(run, stage_runs(run, spec, log), log)


def test_a_stage_that_completed_has_its_facts_and_times(instance: DagsterInstance) -> None:
    spec = spec_of()
    run_id = executed(instance, spec)
    found = stages(instance, spec, run_id)
    assert list(found) == ["load", "train", "report"]
    load = found["load"]
    assert (load.status, load.attempt, load.error, load.run_id) == ("COMPLETED", 1, None, run_id)
    assert load.facts is not None
    assert (load.facts.peak_memory_bytes, load.facts.bytes_written) == (1000, None)
    assert load.started_at is not None
    assert load.ended_at is not None
    assert load.started_at <= load.ended_at <= found["train"].ended_at  # type: ignore[operator]
    assert fault(instance, spec, run_id) is None


def test_a_failed_stage_tells_why_and_those_after_it_are_skipped(instance: DagsterInstance) -> None:
    spec = spec_of()
    run_id = executed(instance, spec, {"train": ["fails"]})
    found = stages(instance, spec, run_id)
    assert [one.status for one in found.values()] == ["COMPLETED", "FAILED", "SKIPPED"]
    error = found["train"].error
    assert error is not None
    assert (error.type, error.message, error.traceback, error.line) == ("ValueError", "bad rows", "tb", 7)
    assert found["report"].attempt == 0
    assert fault(instance, spec, run_id) == "train: ValueError: bad rows"


@pytest.mark.parametrize(
    ("deed", "kind", "message"),
    [
        ("is refused", "FunctionError", "there is no such file"),
        ("breaks", "RuntimeError", "a fault of the platform"),
    ],
)
def test_a_failure_without_facts_still_says_what_it_was(
    instance: DagsterInstance, deed: str, kind: str, message: str
) -> None:
    spec = spec_of()
    run_id = executed(instance, spec, {"load": [deed]})
    error = stages(instance, spec, run_id)["load"].error
    assert error is not None
    assert (error.type, error.message) == (kind, message)
    assert fault(instance, spec, run_id) == f"load: {kind}: {message}"


def test_the_newest_attempt_counts(instance: DagsterInstance) -> None:
    spec = spec_of(stage("load", retry_count=2, retry_delay=0), stage("train", ["load"], retry_count=1, retry_delay=0))
    found = stages(instance, spec, executed(instance, spec, {"load": ["fails", "breaks", "completes"]}))
    assert (found["load"].status, found["load"].attempt, found["load"].error) == ("COMPLETED", 3, None)
    assert found["load"].facts is not None
    assert found["load"].facts.attempt == 3
    found = stages(instance, spec, executed(instance, spec, {"load": ["completes"], "train": ["fails", "fails"]}))
    assert (found["train"].status, found["train"].attempt) == ("FAILED", 2)
    assert found["train"].error is not None
    assert found["train"].error.message == "bad rows"


def test_branches_that_need_nothing_of_a_failed_stage_go_on(instance: DagsterInstance) -> None:
    spec = spec_of(stage("a"), stage("b"), stage("c", ["a"]), stage("d", ["b"]), stage("e", ["c", "d"]))
    run_id = executed(instance, spec, {"a": ["fails"]})
    assert states(instance, spec, run_id) == {
        "a": "FAILED", "b": "COMPLETED", "c": "SKIPPED", "d": "COMPLETED", "e": "SKIPPED",
    }  # fmt: skip


def test_a_stage_that_is_interrupted_since_somebody_cancels_its_run_is_cancelled(instance: DagsterInstance) -> None:
    spec = spec_of()
    run_id = executed(instance, spec, {"train": ["is cancelled"]})
    assert states(instance, spec, run_id) == {"load": "COMPLETED", "train": "CANCELLED", "report": "SKIPPED"}
    assert fault(instance, spec, run_id) is None


def test_a_stage_that_is_interrupted_though_nobody_cancels_its_run_has_failed(instance: DagsterInstance) -> None:
    spec = spec_of()
    run_id = executed(instance, spec, {"train": ["is interrupted"]})
    assert states(instance, spec, run_id) == {"load": "COMPLETED", "train": "FAILED", "report": "SKIPPED"}
    assert "interrupted unexpectedly" in (fault(instance, spec, run_id) or "")


def test_a_run_that_goes_on_says_which_stages_may_still_come(instance: DagsterInstance) -> None:
    spec = spec_of(stage("a"), stage("b"), stage("c", ["b"]), stage("d", ["c"]))
    run_id = recorded(instance, spec)
    assert set(states(instance, spec, run_id).values()) == {"PENDING"}
    for event in ("RUN_START", "STEP_START a", "STEP_SUCCESS a", "STEP_START b"):
        tell(instance, spec, run_id, event)
    assert states(instance, spec, run_id) == {"a": "COMPLETED", "b": "RUNNING", "c": "PENDING", "d": "PENDING"}
    tell(instance, spec, run_id, "STEP_RESTARTED b")
    assert stages(instance, spec, run_id)["b"].attempt == 2


@pytest.mark.parametrize(
    ("end", "at_work", "not_begun"),
    [("RUN_FAILURE", "FAILED", "SKIPPED"), ("RUN_CANCELED", "CANCELLED", "SKIPPED")],
)
def test_no_stage_stays_running_when_its_run_has_ended(
    instance: DagsterInstance, end: str, at_work: str, not_begun: str
) -> None:
    spec = spec_of()
    run_id = recorded(instance, spec, "RUN_START", "STEP_START load", "STEP_SUCCESS load", "STEP_START train", end)
    found = stages(instance, spec, run_id)
    assert [one.status for one in found.values()] == ["COMPLETED", at_work, not_begun]
    assert found["train"].ended_at is not None
    if at_work == "FAILED":
        assert fault(instance, spec, run_id) == "train: RunFailed: the process of the run is gone (RUN_FAILURE)"


def test_a_run_that_never_began_a_stage_tells_of_itself_why_it_failed(instance: DagsterInstance) -> None:
    spec = spec_of()
    run_id = recorded(instance, spec, "RUN_FAILURE")
    assert set(states(instance, spec, run_id).values()) == {"SKIPPED"}
    assert fault(instance, spec, run_id) == "the process of the run is gone (RUN_FAILURE)"


def test_a_list_of_runs_tells_why_each_failed_as_the_run_itself_does(instance: DagsterInstance) -> None:
    spec = spec_of(stage("a"), stage("b", retry_count=1), name="list__ed")
    deeds: list[dict[str, list[str]]] = [
        {"a": ["fails"]},
        {"b": ["fails", "breaks"]},
        {"b": ["fails", "completes"]},
        {"a": ["fails"], "b": ["is refused"]},
        {"a": ["is interrupted"]},
        {"a": ["is cancelled"]},
    ]
    found = [executed(instance, spec, one) for one in deeds] + [recorded(instance, spec, "RUN_FAILURE")]
    told = faults(instance, [run for one in found if (run := run_records.one(instance, one)) is not None])
    assert [told.get(one) for one in found] == [fault(instance, spec, one) for one in found]
    assert len(told) == 5


def test_a_list_without_failed_runs_asks_nothing(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_records.one(instance, executed(instance, spec_of()))
    assert run is not None
    monkeypatch.setattr(instance.event_log_storage, "index_connection", None)
    assert faults(instance, [run]) == {}


def test_what_a_retried_run_does_not_run_again_is_told_of_where_it_was_done(instance: DagsterInstance) -> None:
    spec = spec_of()
    first = recorded(instance, spec, "RUN_START", "STEP_START load", "STEP_SUCCESS load", "STEP_START train")
    tell(instance, spec, first, "RUN_FAILURE")
    again = recorded(instance, spec, "RUN_START", "STEP_START train", steps=["train", "report"], parent=first)
    tell(instance, spec, again, "STEP_SUCCESS train")
    third = recorded(instance, spec, steps=["report"], parent=again)
    found = stages(instance, spec, third, again, first)
    assert [(one.status.value, one.run_id) for one in found.values()] == [
        ("COMPLETED", first), ("COMPLETED", again), ("PENDING", third),
    ]  # fmt: skip


def test_a_run_that_does_all_again_owes_nothing_to_the_one_before(instance: DagsterInstance) -> None:
    spec = spec_of()
    first = executed(instance, spec)
    again = recorded(instance, spec, steps=["load", "train", "report"], parent=first)
    assert set(states(instance, spec, again, first).values()) == {"PENDING"}


def test_a_run_of_some_stages_skips_the_others_and_not_those_that_depend_on_them(instance: DagsterInstance) -> None:
    spec = spec_of()
    run_id = recorded(instance, spec, status=DagsterRunStatus.QUEUED, steps=["train", "report"])
    assert states(instance, spec, run_id) == {"load": "SKIPPED", "train": "PENDING", "report": "PENDING"}


def test_events_that_were_heard_are_not_read_again(instance: DagsterInstance) -> None:
    spec = spec_of()
    run_id = recorded(instance, spec, "RUN_START", "STEP_START load")
    log = RunLog(run_id)
    log.read(instance)
    attempts = dict(log.attempts)
    log.read(instance)
    assert log.attempts == attempts
    tell(instance, spec, run_id, "STEP_RESTARTED load")
    log.read(instance)
    assert [attempt.number for attempt in log.attempts.values()] == [2]
