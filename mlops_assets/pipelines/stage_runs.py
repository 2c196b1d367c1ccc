"""The stages of a run: where each is, its newest attempt and why it failed, from the run and what its log told.

Add here what follows from a run's state and its events together. Keep out events themselves (`stage_events`) and how
stages are shown. What a run doesn't run itself was done in a run that it takes up: such a stage is told of there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlops_assets.pipelines import naming
from mlops_assets.pipelines.run_records import Run, RunStatus
from mlops_assets.pipelines.spec import PipelineSpec, StageSpec
from mlops_assets.pipelines.stage_events import Attempt, RunLog, StageFault, StageStatus
from mlops_assets.pipelines.stage_facts import StageFacts
from mlops_assets.pipelines.validate import order_of

SHORT = 500
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
    error: StageFault | None = None


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
    first: tuple[datetime, str] | None = None
    for stage in stages:
        if stage.status is StageStatus.FAILED and stage.error is not None and stage.ended_at is not None:
            said = f"{stage.stage.name}: {stage.error.type}: {stage.error.message}"
            first = min(first or (stage.ended_at, said), (stage.ended_at, said))
    return _short(first[1] if first else log.fault or "the run failed")


def _own(run: Run, stage: StageSpec, log: RunLog, key: str, *, hopeless: bool) -> StageRun:
    attempt = log.attempts.get(key)
    if attempt is None:
        return StageRun(stage, run.id, StageStatus.SKIPPED if run.finished or hopeless else StageStatus.PENDING)
    status, error = _state(run, attempt, log.fault)
    ended = _moment(attempt.ended) or (run.ended_at if run.finished else None)
    return StageRun(stage, run.id, status, attempt.number, _moment(attempt.began), ended, attempt.facts, error)


def _state(run: Run, attempt: Attempt, fault: str | None) -> tuple[StageStatus, StageFault | None]:
    """Where a stage is whose newest attempt this is, and why it failed, now that the run is where it is."""
    unfinished = attempt.status in (None, StageStatus.PENDING) and run.finished
    if attempt.interrupted and run.status is not RunStatus.FAILED:
        return StageStatus.CANCELLED, None
    if unfinished and run.status is RunStatus.CANCELLED:
        return StageStatus.CANCELLED, attempt.error
    if attempt.interrupted or (unfinished and run.status is RunStatus.FAILED):
        # Its process was ended from outside, or is gone: why, only the run knows.
        return StageStatus.FAILED, StageFault("RunFailed", fault or "the run's process ended")
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
