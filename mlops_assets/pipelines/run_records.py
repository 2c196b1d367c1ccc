"""Runs of declared pipelines as Dagster's own records hold them: found, counted, and in the field's words.

Add here another way to ask for runs. Keep out a run's stages (`stage_runs`) and how runs are shown. Reads Dagster's
instance and needs neither its webserver nor its daemon. A filter by a tag costs most: the rarest is asked alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from mlops_assets.pipelines import naming
from mlops_assets.pipelines.ids import uuid_of
from mlops_assets.pipelines.statuses import RunStatus

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRunStatus, RunRecord

SCHEDULE_TAG = "dagster/schedule_name"
PLATFORM_TAGS = ("dagster/", ".dagster/", "mlops/")
MANUAL, SCHEDULED = "MANUAL", "SCHEDULED"
TRIGGERS = (MANUAL, SCHEDULED, "API", "WEBHOOK")


# A run that is being cancelled counts as running until its process is gone.
DAGSTER_WORDS = {
    RunStatus.PENDING: ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING"),
    RunStatus.RUNNING: ("STARTED", "SUSPENDED", "CANCELING"),
    RunStatus.COMPLETED: ("SUCCESS",),
    RunStatus.FAILED: ("FAILURE",),
    RunStatus.CANCELLED: ("CANCELED",),
}
STATUSES = {word: status for status, words in DAGSTER_WORDS.items() for word in words}
_VERSION = re.compile(r"[0-9]{1,9}")
UNFINISHED = (RunStatus.PENDING, RunStatus.RUNNING)


@dataclass(frozen=True)
class Run:
    """One run. `cancelling` while it is asked to end and hasn't; `planned` are the keys of its own steps, None for all.

    Tags can be set by hand on Dagster's own pages: `pipeline_id` is null and `version` 0 for what is neither.
    """

    id: str
    pipeline_id: UUID | None
    pipeline: str
    version: int
    status: RunStatus
    cancelling: bool
    trigger: str
    who: str
    parameters: Mapping[str, Any]
    environment: str | None
    tags: Mapping[str, str]
    notes: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    retry_of: str | None
    planned: frozenset[str] | None

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.status not in UNFINISHED


@dataclass(frozen=True)
class AskedRuns:
    """Which runs are wanted; None or empty: all. `tags` are people's own, with the value that is wanted, if any.

    `since` counts, `until` doesn't; both know their time zone.
    """

    pipeline_id: UUID | None = None
    statuses: frozenset[RunStatus] = frozenset()
    trigger: str | None = None
    tags: tuple[tuple[str, str | None], ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    ascending: bool = False


@dataclass(frozen=True)
class Page:
    """Some of the runs that fit, how many there are in all, and whether there are more after these."""

    runs: Sequence[Run] = ()
    total: int = 0
    more: bool = False


def page(instance: DagsterInstance, asked: AskedRuns, limit: int, cursor: str | None = None) -> Page:
    """The newest runs that fit, or with `ascending` the oldest; those after the run `cursor`.

    LookupError: there is no run `cursor`.
    """
    from dagster import RunsFilter

    wanted = _wanted(instance, asked)
    if wanted is None:
        found = Page()
    else:
        filters = RunsFilter(**wanted)
        records = instance.get_run_records(filters, limit + 1, ascending=asked.ascending, cursor=cursor)
        whole = cursor is None and len(records) <= limit
        total = len(records) if whole else instance.get_runs_count(filters)
        found = Page([_run(record) for record in records[:limit]], total, len(records) > limit)
    if not found.runs and cursor is not None and not instance.has_run(cursor):
        raise LookupError(f"there is no run {cursor}")
    return found


def one(instance: DagsterInstance, run_id: str) -> Run | None:
    """The run of this id; None if there is none, or it is of no declared pipeline."""
    record = instance.get_run_record_by_id(run_id)
    if record is None or record.dagster_run.tags.get(naming.DECLARED_TAG) != naming.DECLARED:
        return None
    return _run(record)


def active_runs(instance: DagsterInstance, pipeline_id: UUID) -> int:
    """How many runs of the pipeline haven't ended."""
    from dagster import RunsFilter

    unfinished = _dagster_statuses(UNFINISHED)
    return instance.get_runs_count(RunsFilter(tags={naming.PIPELINE_TAG: str(pipeline_id)}, statuses=unfinished))


def counts(instance: DagsterInstance, since: datetime | None = None) -> dict[RunStatus, int]:
    """How many runs there are by status, of those created from `since` on."""
    from dagster import RunsFilter

    return {
        status: instance.get_runs_count(
            RunsFilter(
                tags={naming.DECLARED_TAG: naming.DECLARED},
                statuses=_dagster_statuses([status]),
                created_after=_just_before(since),
            )
        )
        for status in RunStatus
    }


def _wanted(instance: DagsterInstance, asked: AskedRuns) -> dict[str, Any] | None:
    """The arguments of Dagster's filter; None if nothing can fit."""
    tags: dict[str, str | Sequence[str]] = {}
    for key, value in asked.tags:
        values = [value] if value is not None else _values(instance, key)
        kept = tags.get(key)
        tags[key] = values if kept is None else [one for one in values if one in kept]
        if not tags[key]:
            return None
    if asked.trigger is not None:
        tags[naming.TRIGGER_TAG] = asked.trigger
    if asked.pipeline_id is not None:
        tags[naming.PIPELINE_TAG] = str(asked.pipeline_id)
    # Every tag is a join: what has one of these is a declared pipeline's anyway.
    if naming.TRIGGER_TAG not in tags and naming.PIPELINE_TAG not in tags:
        tags[naming.DECLARED_TAG] = naming.DECLARED
    return {
        "statuses": _dagster_statuses(asked.statuses),
        "tags": tags,
        "created_after": _just_before(asked.since),
        "created_before": None if asked.until is None else asked.until.astimezone(UTC),
    }


def _values(instance: DagsterInstance, tag: str) -> list[str]:
    """Every value that runs have for a tag."""
    return sorted(value for _, values in instance.get_run_tags([tag]) for value in values)


def _just_before(moment: datetime | None) -> datetime | None:
    # Dagster leaves out the moment itself.
    return None if moment is None else moment.astimezone(UTC) - timedelta(microseconds=1)


def _dagster_statuses(statuses: Sequence[RunStatus] | frozenset[RunStatus]) -> list[DagsterRunStatus]:
    from dagster import DagsterRunStatus

    return [DagsterRunStatus(word) for status in statuses for word in DAGSTER_WORDS[status]]


def _run(record: RunRecord) -> Run:
    run = record.dagster_run
    tags = run.tags
    scheduled = SCHEDULE_TAG in tags
    trigger = tags.get(naming.TRIGGER_TAG, "")
    return Run(
        id=run.run_id,
        pipeline_id=uuid_of(tags.get(naming.PIPELINE_TAG, "")),
        pipeline=tags.get(naming.NAME_TAG, ""),
        version=int(version) if _VERSION.fullmatch(version := tags.get(naming.VERSION_TAG, "")) else 0,
        status=STATUSES[run.status.value],
        cancelling=run.status.value == "CANCELING",
        trigger=trigger if trigger in TRIGGERS else SCHEDULED if scheduled else MANUAL,
        who=tags.get(naming.WHO_TAG) or ("schedule" if scheduled else "dagster"),
        parameters=_parameters(run.run_config),
        environment=tags.get(naming.ENVIRONMENT_TAG),
        tags={key: value for key, value in tags.items() if not key.startswith(PLATFORM_TAGS)},
        notes=tags.get(naming.NOTES_TAG, ""),
        created_at=record.create_timestamp,
        started_at=_moment(record.start_time),
        ended_at=_moment(record.end_time),
        retry_of=run.parent_run_id,
        planned=_planned(run.step_keys_to_execute, run.asset_selection),
    )


def _parameters(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters as they were given; a run from Dagster's own pages may have any config."""
    found: Any = config
    for key in ("resources", "parameters", "config"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _planned(steps: Sequence[str] | None, selection: Any) -> frozenset[str] | None:
    if steps is not None:
        return frozenset(steps)
    return None if selection is None else frozenset("__".join(key.path) for key in selection)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
