"""What Dagster's own records say of failed runs, failed checks and asked-for retrains, read from a cursor on.

Each function takes an instance and the time or number it read up to, and returns plain values. Keep out their words
(`from_runs`) and when they are asked (`dagster_sensors`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dagster import AssetCheckEvaluation, AssetCheckSeverity, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster import DagsterEventType as Happened
from dagster import EventRecordsFilter as Records

from mlops_assets.notifications.from_runs import AskedRetrain, FailedGate, FailedRun

MOST_AT_ONCE = 500
# A run's time is taken before it is written: look again that far back. Its key keeps it told once.
OVERLAP = timedelta(seconds=60)
# The same for the event log, where two events may be committed in another order than they are numbered.
OVERLAP_EVENTS = 200
# Runs of declared pipelines have no job of their own; this says whose they are.
PIPELINE_NAME = "mlops/pipeline_name"
WILL_RETRY = "dagster/will_retry"
TRIGGER = "mlops/trigger"
RETRAINS = ("rollback", "drift")
FIGURES = ("value", "limit", "production")


@dataclass(frozen=True)
class Page:
    """Run records, oldest first, and the moment that they were read up to."""

    records: Sequence[Any]
    seen: datetime


def failed_since(instance: DagsterInstance, begin: datetime, seen: datetime) -> Page:
    """Runs that ended in failure since `seen`, never from before `begin`: crashed ones and unlaunched ones too.

    One that Dagster tries again by itself is left out: its last try counts.
    """
    filters = RunsFilter(statuses=[DagsterRunStatus.FAILURE], updated_after=max(begin, seen - OVERLAP))
    records = instance.get_run_records(filters, limit=MOST_AT_ONCE, order_by="update_timestamp", ascending=True)
    ended = [record for record in records if record.dagster_run.tags.get(WILL_RETRY) != "true"]
    return Page(ended, _up_to(seen, records, "update_timestamp"))


def retrains_since(instance: DagsterInstance, begin: datetime, seen: datetime) -> Page:
    """Runs since `seen` that a rollback or drift asked for, never from before `begin`."""
    filters = RunsFilter(tags={TRIGGER: list(RETRAINS)}, created_after=max(begin, seen - OVERLAP))
    records = instance.get_run_records(filters, limit=MOST_AT_ONCE, order_by="create_timestamp", ascending=True)
    return Page(records, _up_to(seen, records, "create_timestamp"))


def _up_to(seen: datetime, records: Sequence[Any], column: str) -> datetime:
    """The newest record's time; behind a full page, which may hold only what is known, the next one begins."""
    if not records:
        return seen
    newest = utc(getattr(records[-1], column))
    return newest + OVERLAP if len(records) == MOST_AT_ONCE else max(seen, newest)


def utc(moment: datetime) -> datetime:
    """Some of Dagster's storages give UTC without saying so."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def failed_run(instance: DagsterInstance, record: Any) -> FailedRun:
    """What a failed run's events say of why it failed."""
    run = record.dagster_run
    wanted = {Happened.RUN_FAILURE, Happened.STEP_FAILURE}
    entries = [r.event_log_entry for r in instance.get_records_for_run(run.run_id, of_type=wanted, limit=20).records]
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    steps = [event for event in events if event.event_type == Happened.STEP_FAILURE]
    told = steps[0] if steps else (events[0] if events else None)
    ended = record.end_time
    step = steps[0].step_key if steps else None
    pipeline = run.tags.get(PIPELINE_NAME)
    return FailedRun(
        run_id=run.run_id,
        job=f"pipeline {pipeline}" if pipeline else run.job_name,
        product=run.tags.get("product"),
        step=step.removeprefix(f"pipelines__{pipeline}__") if step else None,
        error=_error(told) if told is not None else "",
        ended_at=datetime.fromtimestamp(ended, UTC) if ended else utc(record.update_timestamp),
    )


def _error(event: Any) -> str:
    """The first line of the cause of causes; without one, what the event itself says."""
    error = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    said = str(error.message) if error is not None else str(event.message or "")
    return next((line.strip() for line in said.splitlines() if line.strip()), "")


def asked_retrain(record: Any) -> AskedRetrain:
    """A training run, with what its sensor wrote into its tags."""
    run = record.dagster_run
    seq = run.tags.get("mlops/ledger_seq")
    return AskedRetrain(
        run_id=run.run_id,
        job=run.job_name,
        product=run.tags.get("product"),
        trigger=run.tags[TRIGGER],
        said=run.tags.get("mlops/drift") or (f"decision {seq} of the ledger" if seq else ""),
        asked_at=utc(record.create_timestamp),
    )


def newest_check(instance: DagsterInstance) -> int:
    """The number of the newest check evaluation; 0 if there is none."""
    records = instance.event_log_storage.get_event_records(Records(Happened.ASSET_CHECK_EVALUATION), limit=1)
    return records[0].storage_id if records else 0


def failed_gates_since(instance: DagsterInstance, begin: int, seen: int) -> tuple[list[FailedGate], int]:
    """Failed checks of severity ERROR since event `seen`, never from before `begin`; and the newest event read."""
    after = max(begin, seen - OVERLAP_EVENTS)
    asked = Records(Happened.ASSET_CHECK_EVALUATION, after_cursor=after)
    records = instance.event_log_storage.get_event_records(asked, limit=MOST_AT_ONCE, ascending=True)
    found = [gate for gate in map(_gate, records) if gate is not None]
    return found, max([seen, *(record.storage_id for record in records)])


def _gate(record: Any) -> FailedGate | None:
    entry = record.event_log_entry
    evaluation = entry.dagster_event.event_specific_data if entry.dagster_event is not None else None
    if not isinstance(evaluation, AssetCheckEvaluation):
        return None
    if evaluation.passed or evaluation.severity is not AssetCheckSeverity.ERROR:
        return None
    return FailedGate(
        asset=tuple(evaluation.asset_key.path),
        check=evaluation.check_name,
        run_id=entry.run_id or "",
        storage_id=record.storage_id,
        partition=evaluation.partition,
        blocking=bool(evaluation.blocking),
        description=evaluation.description or "",
        figures=_figures(evaluation.metadata),
        at=datetime.fromtimestamp(entry.timestamp, UTC),
    )


def _figures(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Value, limit and production's value, where a check shows them."""
    found = {name: getattr(metadata[name], "value", None) for name in FIGURES if name in metadata}
    return {name: _shown(value) for name, value in found.items() if value is not None}


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) and math.isfinite(value) else str(value)
