"""The stages of a run: where each is, its newest attempt and why it failed, from the run and what its log told.

Add here what follows from a run's state and its events together. Keep out events themselves (`stage_events`) and how
stages are shown. What a run doesn't run itself was done in a run that it takes up: such a stage is told of there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_assets.pipelines import naming
from mlops_assets.pipelines.run_records import Run
from mlops_assets.pipelines.spec import PipelineSpec, StageSpec
from mlops_assets.pipelines.stage_events import Attempt, RunLog, first_failures
from mlops_assets.pipelines.stage_facts import StageFacts
from mlops_assets.pipelines.statuses import RunStatus, StageStatus
from mlops_assets.pipelines.validate import order_of
from mlops_assets.sandbox.order import StageError

if TYPE_CHECKING:
    from dagster import DagsterInstance

SHORT = 500
NO_FAULT = "the run failed"
LOST = (StageStatus.FAILED, StageStatus.CANCELLED, StageStatus.SKIPPED)


@dataclass(frozen=True)
class StageRun:
    """One stage of a run and its newest attempt, from 1; 0: none has begun. `run_id` is the run that it was done in."""

    stage: StageSpec
    run_id: str
    status: StageStatus
    attempt: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    facts: StageFacts | None = None
    error: StageError | None = None


def step_key(pipeline: str, stage: str) -> str:
    """What Dagster calls the stage within a run."""
    return "__".join(naming.asset_key(pipeline, stage))


def stage_runs(run: Run, spec: PipelineSpec, log: RunLog, taken_up: Sequence[RunLog] = ()) -> list[StageRun]:
    """Every stage in execution order. `taken_up` are the runs that this one takes up, newest first."""
    found: list[StageRun] = []
    # Stages that the run was to run and that won't be done: what depends on them isn't begun.
    lost: set[str] = set()
    for stage in order_of(spec):
        key = step_key(spec.name, stage.name)
        if run.planned is None or key in run.planned or key in log.attempts:
            own = _own(run, stage, log, key, hopeless=not lost.isdisjoint(stage.dependencies))
            if own.status in LOST:
                lost.add(stage.name)
            found.append(own)
        else:
            # Nobody asked for it, or it was done before; its dependents go on with the result that there is.
            found.append(_earlier(stage, taken_up, key) or StageRun(stage, run.id, StageStatus.SKIPPED))
    return found


def first_fault(run: Run, stages: Sequence[StageRun], log: RunLog) -> str | None:
    """Why a run failed, in short: what its first failed stage said, else what Dagster says of the run."""
    if run.status is not RunStatus.FAILED:
        return None
    said = [
        (stage.ended_at, _said(stage.stage.name, stage.error))
        for stage in stages
        if stage.status is StageStatus.FAILED and stage.error is not None and stage.ended_at is not None
    ]
    return _short(min(said)[1] if said else log.fault or NO_FAULT)


def faults(instance: DagsterInstance, runs: Iterable[Run]) -> dict[str, str]:
    """Why each run failed that did, as `first_fault` tells it, by the run's id.

    Only of a run whose process was lost it isn't known here which stages it had begun.
    """
    failed = {run.id: run for run in runs if run.status is RunStatus.FAILED}
    logs = first_failures(instance, failed)
    return {run.id: _short(_fault(run, logs[run.id])) for run in failed.values()}


def _fault(run: Run, log: RunLog) -> str:
    for key, attempt in log.attempts.items():
        _, error = _state(run, attempt, log.fault)
        if error is not None:
            return _said(key.removeprefix(step_key(run.pipeline, "")), error)
    return log.fault or NO_FAULT


def _said(stage: str, error: StageError) -> str:
    return f"{stage}: {error.type}: {error.message}"


def _own(run: Run, stage: StageSpec, log: RunLog, key: str, *, hopeless: bool) -> StageRun:
    attempt = log.attempts.get(key)
    if attempt is None:
        return StageRun(stage, run.id, StageStatus.SKIPPED if run.finished or hopeless else StageStatus.PENDING)
    status, error = _state(run, attempt, log.fault)
    ended = _moment(attempt.ended) or (run.ended_at if run.finished else None)
    return StageRun(stage, run.id, status, attempt.number, _moment(attempt.began), ended, attempt.facts, error)


def _state(run: Run, attempt: Attempt, fault: str | None) -> tuple[StageStatus, StageError | None]:
    """Where a stage is whose newest attempt this is, and why it failed, now that the run is where it is."""
    unfinished = attempt.status in (None, StageStatus.PENDING) and run.finished
    if attempt.interrupted and run.status is not RunStatus.FAILED:
        return StageStatus.CANCELLED, None
    if unfinished and run.status is RunStatus.CANCELLED:
        return StageStatus.CANCELLED, attempt.error
    if attempt.interrupted or (unfinished and run.status is RunStatus.FAILED):
        # Its process was ended from outside, or is gone: why, only the run knows.
        return StageStatus.FAILED, StageError("RunFailed", fault or "the run's process ended")
    return attempt.status or StageStatus.RUNNING, attempt.error


def _earlier(stage: StageSpec, taken_up: Sequence[RunLog], key: str) -> StageRun | None:
    for log in taken_up:
        done = log.attempts.get(key)
        if done is not None and done.status is StageStatus.COMPLETED:
            began, ended = _moment(done.began), _moment(done.ended)
            return StageRun(stage, log.run_id, StageStatus.COMPLETED, done.number, began, ended, done.facts)
    return None


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= SHORT else f"{words[: SHORT - 1]}…"


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
