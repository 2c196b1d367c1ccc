"""The time limit of a stage, seen from outside: steps that should have ended and didn't stop themselves.

Code that never returns to Python, or that runs in a thread, can't be interrupted by its own process. What a step
may take is a tag in the run's plan, when it began is in the run's log: nothing else is kept, so nothing is lost.
Add here how such a step is found and told of. Keep out its end: the launcher knows the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dagster import DagsterEvent, DagsterEventType
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.execution.plan.objects import StepFailureData
from dagster._core.storage.tags import MAX_RUNTIME_SECONDS_TAG
from dagster_shared.error import SerializableErrorInfo

from mlops_assets.runs.stages import TIME_LIMIT_TAG, TITLE_TAG, too_long

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun
    from dagster._core.snap.execution_plan_snapshot import ExecutionPlanSnapshot

BEGINS = {DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED}
ENDS = {
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_SKIPPED,
    DagsterEventType.STEP_UP_FOR_RETRY,
}
PLANS_KEPT = 256


@dataclass(frozen=True)
class Limit:
    """What a step is called and how long one try of it may take, in seconds."""

    title: str
    seconds: float


@dataclass(frozen=True)
class Overdue:
    """A step at work for longer than its limit and the grace time."""

    step: str
    limit: Limit

    def said(self, grace_seconds: float) -> str:
        """The reason, for people."""
        late = too_long(self.limit.title, self.limit.seconds)
        return f"{late} and did not stop within {grace_seconds:g} s more; its process was killed"


class Watch:
    """Looks at runs in progress. Remembers the limits of the plans that it has read."""

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self._plans: dict[str, dict[str, Limit]] = {}

    def overdue(self, instance: DagsterInstance, run: DagsterRun, now: float) -> Overdue | None:
        """The step of the run that should have ended longest ago, at `now` (seconds since the epoch)."""
        limits = self._limits(instance, run.execution_plan_snapshot_id)
        if not limits:
            return None
        records = instance.get_records_for_run(run.run_id, of_type=BEGINS | ENDS).records
        events = [record.event_log_entry for record in records]
        began = at_work((e.step_key, e.dagster_event_type, e.timestamp) for e in events)
        late = {
            now - since - limits[step].seconds - self.grace_seconds: step
            for step, since in began.items()
            if step in limits
        }
        longest = max(late, default=-1.0)
        return Overdue(late[longest], limits[late[longest]]) if longest > 0 else None

    def _limits(self, instance: DagsterInstance, plan_id: str | None) -> dict[str, Limit]:
        if plan_id is None:
            return {}
        if plan_id not in self._plans:
            if len(self._plans) >= PLANS_KEPT:
                self._plans.clear()
            self._plans[plan_id] = limits_of(instance.get_execution_plan_snapshot(plan_id))
        return self._plans[plan_id]


def report_overdue(instance: DagsterInstance, run_id: str, step: str, said: str) -> None:
    """The run and its step as failed with the reason; nothing if the run has ended by itself meanwhile."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    error = SerializableErrorInfo(said, [], None)
    failed = DagsterEvent(
        event_type_value=DagsterEventType.STEP_FAILURE.value,
        job_name=run.job_name,
        step_key=step,
        event_specific_data=StepFailureData(error=error, user_failure_data=None),  # type: ignore[no-untyped-call]
    )
    instance.report_dagster_event(failed, run_id=run_id)
    _report_failed(instance, run, said)


def report_run_over_time(instance: DagsterInstance, run_id: str, now: float) -> bool:
    """Whether the run took longer than its job's `dagster/max_runtime`; if so it is failed now, with that reason.

    Dagster's daemon only cancels such a run and reports a failure afterwards, which the run's own report of the
    cancellation may overwrite; and it would retry that failure.
    """
    record = instance.get_run_record_by_id(run_id)
    if record is None or record.start_time is None or record.dagster_run.is_finished:
        return False
    limit = record.dagster_run.tags.get(MAX_RUNTIME_SECONDS_TAG)
    if limit is None or now - record.start_time <= float(limit):
        return False
    _report_failed(instance, record.dagster_run, f"the run took longer than {float(limit):g} s")
    return True


def _report_failed(instance: DagsterInstance, run: DagsterRun, said: str) -> None:
    # Not retried as a run, which a failed step isn't: the work is too slow, the machine is well.
    error = SerializableErrorInfo(said, [], None)
    instance.report_run_failed(run, said, JobFailureData(error=error, failure_reason=RunFailureReason.STEP_FAILURE))


def limits_of(plan: ExecutionPlanSnapshot) -> dict[str, Limit]:
    """The limits of a plan's steps, by step key; steps without one are not in it."""
    found = {}
    for step in plan.steps:
        tags: Mapping[str, str] = step.tags or {}
        if TIME_LIMIT_TAG in tags:
            found[step.key] = Limit(tags.get(TITLE_TAG, f"step {step.key}"), float(tags[TIME_LIMIT_TAG]))
    return found


def at_work(events: Iterable[tuple[str | None, DagsterEventType | None, float]]) -> dict[str, float]:
    """When the present try of each unfinished step began, from (step, type, time) in the order of the log."""
    began: dict[str, float] = {}
    for step, kind, moment in events:
        if step is None:
            continue
        if kind in BEGINS:
            began[step] = moment
        elif kind in ENDS:
            began.pop(step, None)
    return began


def waits_for_retry(instance: DagsterInstance, run_id: str) -> bool:
    """Whether nothing of the run is at work but a step that waits for its next try."""
    records = instance.get_records_for_run(run_id, of_type=BEGINS | ENDS).records
    events = [record.event_log_entry for record in records]
    last = events[-1].dagster_event_type if events else None
    working = at_work((e.step_key, e.dagster_event_type, e.timestamp) for e in events)
    return not working and last == DagsterEventType.STEP_UP_FOR_RETRY
