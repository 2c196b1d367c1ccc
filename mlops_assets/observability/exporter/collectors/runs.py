"""Runs, read from Dagster's own table, so that those count too that crashed, wait or hang.

Add a figure of runs here. Keep out stages (`stages`) and single declared pipelines (`pipelines`): all their runs are
one job here.
"""

# ruff: noqa: S608 (the statements are put together from constants of this file only)
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.settled_runs import ENDED, UNENDED, Counted, SettledRuns
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import OTHER, Sheet, Spread, safe
from mlops_assets.observability.exporter.metrics import RUN_SECONDS, WAIT_SECONDS
from mlops_assets.pipelines.naming import DECLARED, DECLARED_TAG
from mlops_assets.settings import Settings

EVERY_SECONDS = 5.0
OVERDUE_SECONDS = 60.0
TRAINING_TAG = "mlops/training"
MAX_RUNTIME_TAG = "dagster/max_runtime"
# The one name of all declared pipelines' jobs, which are Dagster's own job of a selection of assets.
PIPELINES = "pipelines"
# So many jobs are told apart in memory; the others are one.
MOST_JOBS = 500

_TAGGED = {"declared_tag": DECLARED_TAG, "declared": DECLARED}
_DECLARED = """
EXISTS (SELECT 1 FROM dagster.run_tags AS t
  WHERE t.run_id = r.run_id AND t.key = :declared_tag AND t.value = :declared)
"""
_KIND = "CASE WHEN declared THEN 'pipeline' WHEN job LIKE 'platform\\_%' THEN 'platform' ELSE 'product' END"
# How many bounds are below the value. A value on a bound belongs under it, as Prometheus has it.
_BUCKET = "width_bucket({seconds} - 1e-9, CAST(:{bounds} AS double precision[]))"
_ENDED = f"""
WITH ended AS (
  SELECT r.id, left(r.pipeline_name, 101) AS job, r.status, r.end_time, {_DECLARED} AS declared,
    r.end_time - r.start_time AS seconds,
    r.start_time - extract(epoch FROM r.create_timestamp::timestamptz)::float8 AS waited
  FROM dagster.runs AS r
  WHERE r.status IN ('SUCCESS', 'FAILURE', 'CANCELED') AND {{which}}
), named AS (
  SELECT *, {_KIND} AS kind, {_BUCKET.format(seconds="seconds", bounds="run_bounds")} AS bucket,
    {_BUCKET.format(seconds="waited", bounds="wait_bounds")} AS wait_bucket
  FROM ended
)
SELECT kind, CASE WHEN declared THEN :pipelines ELSE job END AS job, status, bucket, wait_bucket, count(*) AS runs,
  sum(greatest(seconds, 0)) AS seconds, sum(greatest(waited, 0)) AS waited, max(end_time) AS ended, max(id) AS newest
FROM named GROUP BY 1, 2, 3, 4, 5
"""
_GOING = f"""
WITH going AS (
  SELECT r.status, left(r.pipeline_name, 101) AS job, {_DECLARED} AS declared,
    extract(epoch FROM now() - r.create_timestamp::timestamptz)::float8 AS made,
    extract(epoch FROM now())::float8 - r.start_time AS started,
    coalesce((SELECT CASE WHEN t.value ~ '^[0-9]{{1,9}}(\\.[0-9]{{1,9}})?$' THEN t.value::float8 END
      FROM dagster.run_tags AS t WHERE t.run_id = r.run_id AND t.key = :max_runtime LIMIT 1), :run_seconds) AS may,
    EXISTS (SELECT 1 FROM dagster.run_tags AS t WHERE t.run_id = r.run_id AND t.key = :training) AS training
  FROM dagster.runs AS r WHERE r.status = ANY(:unended)
)
SELECT {_KIND} AS kind, status, training, count(*) AS runs,
  max(made) FILTER (WHERE status = 'QUEUED') AS queued, max(started) AS started,
  count(*) FILTER (WHERE started > may + :overdue) AS overdue
FROM going GROUP BY 1, 2, 3
"""
_PRODUCTS = "SELECT DISTINCT product FROM mlops.dataset_version"

KINDS = ("product", "pipeline", "platform")


@dataclass
class Job:
    """What is known of a job's ended runs. `newest` is the number of the newest one, which says how recent it is."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: Spread = field(default_factory=lambda: Spread((0.0,) * (len(RUN_SECONDS) + 1), 0.0))
    succeeded: float | None = None
    ended: float = 0.0
    failed: bool = False
    newest: int = 0

    def add(self, other: Job) -> None:
        """Take the other's runs in."""
        self.outcomes.update(other.outcomes)
        self.seconds += other.seconds
        if other.succeeded is not None:
            self.succeeded = max(self.succeeded or 0.0, other.succeeded)
        if other.ended > self.ended:
            self.ended, self.failed = other.ended, other.failed
        self.newest = max(self.newest, other.newest)


@dataclass
class Runs:
    """Ended runs by job, and how long runs waited by kind."""

    jobs: dict[str, Job] = field(default_factory=dict)
    waited: dict[str, Spread] = field(default_factory=dict)

    def add(self, counted: Counted) -> None:
        """Take counted rows in."""
        for row in counted:
            job = Job(Counter({row.status: row.runs}), newest=row.newest)
            if row.bucket is not None:
                job.seconds = _spread(len(RUN_SECONDS), row.bucket, row.runs, row.seconds)
            if row.ended is not None:
                job.ended, job.failed = row.ended, row.status == "FAILURE"
                job.succeeded = row.ended if row.status == "SUCCESS" else None
            self.jobs.setdefault(safe(row.job), Job()).add(job)
            if row.wait_bucket is not None:
                waited = _spread(len(WAIT_SECONDS), row.wait_bucket, row.runs, row.waited)
                before = self.waited.get(row.kind)
                self.waited[row.kind] = waited if before is None else before + waited

    def with_others(self, other: Runs) -> Runs:
        """Both together, in an object of its own."""
        both = Runs({}, dict(self.waited))
        for jobs in (self.jobs, other.jobs):
            for name, job in jobs.items():
                both.jobs.setdefault(name, Job()).add(job)
        for kind, waited in other.waited.items():
            both.waited[kind] = both.waited[kind] + waited if kind in both.waited else waited
        return both

    def shrink(self, products: set[str]) -> None:
        """Make the least important jobs one, if there are too many."""
        for name in self.ranked(products)[MOST_JOBS:]:
            if name != OTHER:
                self.jobs.setdefault(OTHER, Job()).add(self.jobs.pop(name))

    def ranked(self, products: set[str]) -> list[str]:
        """Jobs of our own and of known products first, then by their newest run: nobody's invention displaces them."""
        own = (PIPELINES, "platform_", *(f"{product}_" for product in products))
        return sorted(self.jobs, key=lambda name: (not name.startswith(own), -self.jobs[name].newest))


def collector(source: Source, settings: Settings) -> Collector:
    """Looks every five seconds."""
    return Collector("runs", of_group("runs"), EVERY_SECONDS, LookAtRuns(source, settings))


class LookAtRuns:
    """Remembers what was counted of runs that have settled."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self._source, self._settings = source, settings
        self._settled = Runs()
        self._products: set[str] = set()
        self._runs = SettledRuns(source, count, self._keep)

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError."""
        self._products = {row.product for row in self._source.rows(_PRODUCTS)}
        young = Runs()
        young.add(self._runs.rest())
        self._put_ended(sheet, self._settled.with_others(young))
        self._put_going(sheet)

    def _keep(self, counted: Counted) -> None:
        self._settled.add(counted)
        self._settled.shrink(self._products)

    def _put_ended(self, sheet: Sheet, runs: Runs) -> None:
        for name in runs.ranked(self._products):
            job = runs.jobs[name]
            # Also those that there are none of: Prometheus sees only a rise from 0.
            for outcome in ENDED:
                sheet.put("mlops_runs_finished_total", job.outcomes[outcome], job=name, outcome=outcome)
            sheet.spread("mlops_run_duration_seconds", job.seconds, job=name)
            sheet.put("mlops_job_last_success_timestamp_seconds", job.succeeded, job=name)
            sheet.put("mlops_job_last_run_failed", job.failed, job=name)
        for kind, waited in runs.waited.items():
            sheet.spread("mlops_run_wait_seconds", waited, kind=kind)

    def _put_going(self, sheet: Sheet) -> None:
        settings = self._settings
        asked = _TAGGED | {
            "unended": UNENDED,
            "max_runtime": MAX_RUNTIME_TAG,
            "training": TRAINING_TAG,
            "run_seconds": float(settings.run_timeout_seconds),
            "overdue": OVERDUE_SECONDS,
        }
        found = self._source.rows(_GOING, asked)
        for kind in KINDS:
            mine = [row for row in found if row.kind == kind]
            for status in UNENDED:
                number = sum(row.runs for row in mine if row.status == status)
                sheet.put("mlops_runs", number, kind=kind, status=status)
            # 0 and not nothing: an alert's expression needs something to compare.
            sheet.put("mlops_run_queue_oldest_seconds", max([row.queued or 0 for row in mine], default=0), kind=kind)
            sheet.put("mlops_run_oldest_seconds", max([row.started or 0 for row in mine], default=0), kind=kind)
            sheet.put("mlops_runs_overdue", sum(row.overdue for row in mine), kind=kind)
        active = [row for row in found if row.status != "QUEUED"]
        slots = {
            "runs": (settings.max_concurrent_runs, active),
            "pipelines": (settings.max_concurrent_pipeline_runs, [row for row in active if row.kind == "pipeline"]),
            "trainings": (settings.max_concurrent_trainings, [row for row in active if row.training]),
        }
        for limit, (most, used) in slots.items():
            sheet.put("mlops_run_slots", most, limit=limit)
            sheet.put("mlops_run_slots_used", sum(row.runs for row in used), limit=limit)


def count(connection: Connection, which: str, values: Mapping[str, Any]) -> Counted:
    """Ended runs that meet a condition of `settled_runs`, by kind, job, status and buckets."""
    bounds = {"run_bounds": list(RUN_SECONDS), "wait_bounds": list(WAIT_SECONDS)}
    return rows(connection, _ENDED.format(which=which), {**_TAGGED, **bounds, "pipelines": PIPELINES, **values})


def _spread(bounds: int, bucket: int, number: int, total: float) -> Spread:
    counts = [0.0] * (bounds + 1)
    counts[bucket] = float(number)
    return Spread(tuple(counts), float(total))
