"""Reads that only the overview needs: a product's data, answers, checks, assets and runs, in one transaction.

Every statement has bound parameters and reads a bounded number of rows. Add a read here when a part is judged by it.
Keep out the judging (`judging`) and what other capabilities read for themselves (ledger, drift, scores).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from mlops_assets.observability.asset_state import ASSET_STATE, is_fresh
from mlops_assets.observability.usage.queries import GOING

# Of a product's jobs by name, as its component makes them.
JOBS = ("train", "score", "rollout", "drift", "log_export", "log_retention", "release_retention")
HOURS = 24
# Answers that tell how long they take: the newest ones of the last hour.
MOST_TIMED = 2_000
MOST_RUNS = 12

_DATA = """
SELECT version, rows, sample, created_at FROM mlops.dataset_version
WHERE product = :product ORDER BY version DESC LIMIT 1
"""
_ANSWERS = """
SELECT count(*) FILTER (WHERE latency_ms <= :limit) AS quick, count(*) AS timed FROM (
  SELECT latency_ms FROM mlops.prediction
  WHERE product = :product AND at > :since AND id >= mlops.first_id(CAST(CAST(:since AS timestamptz) AS date))
  ORDER BY at DESC LIMIT :most
) AS newest
"""
# Rows are counted by the hour; of the one in which the last sixty minutes begin, a part counts by its length.
_COUNTED = """
SELECT coalesce(sum(predictions * least(1.0, extract(epoch FROM least(hour + interval '1 hour', :now) -
  greatest(hour, :since)) / greatest(1, extract(epoch FROM least(hour + interval '1 hour', :now) - hour)))), 0)::bigint
FROM mlops.log_hour WHERE product = :product AND hour > CAST(:since AS timestamptz) - interval '1 hour'
"""
_FAILED = "SELECT count(*) FROM mlops.request_failure WHERE product = :product AND at > :since AND status >= 500"
_DOWN = """
SELECT name, extract(epoch FROM clock_timestamp() - down_since)::float8 AS seconds FROM mlops.service_probe
WHERE NOT healthy AND name = ANY(:names) AND asked_at > clock_timestamp() - interval '5 minutes'
"""
_CHECKS = """
SELECT DISTINCT ON (asset_key, check_name) asset_key, check_name AS name, execution_status AS status,
  evaluation_event::jsonb #>> '{dagster_event,event_specific_data,severity,__enum__}' AS severity,
  create_timestamp::timestamptz AS at
FROM dagster.asset_check_executions WHERE asset_key = ANY(:keys) AND execution_status <> 'PLANNED'
ORDER BY asset_key, check_name, id DESC
"""
_ASSETS = f"""
SELECT k.asset_key AS key, made.timestamp::timestamptz AS made_at, made.run_id, fresh.state
FROM {ASSET_STATE} WHERE starts_with(k.asset_key, :prefix) ORDER BY k.id
"""  # noqa: S608 of a constant
_RUNS = """
SELECT r.run_id, r.pipeline_name AS job, r.status, r.create_timestamp::timestamptz AS created_at, r.start_time,
  r.end_time
FROM unnest(CAST(:jobs AS text[])) AS job, LATERAL (
  SELECT * FROM dagster.runs WHERE pipeline_name = job ORDER BY id DESC LIMIT :most) AS r
ORDER BY r.id DESC LIMIT :most
"""
_ENDED = """
SELECT count(*) FILTER (WHERE status = 'SUCCESS') AS succeeded, count(*) FILTER (WHERE status = 'FAILURE') AS failed,
  count(*) FILTER (WHERE status = 'CANCELED') AS canceled
FROM dagster.runs WHERE update_timestamp > :margin AND end_time > :since
"""
_OPEN = """
SELECT count(*) FILTER (WHERE status IN ('QUEUED', 'NOT_STARTED')) AS queued,
  count(*) FILTER (WHERE status NOT IN ('QUEUED', 'NOT_STARTED')) AS running
FROM dagster.runs WHERE status = ANY(:unended)
"""
_PIPELINES = """
SELECT count(*) FILTER (WHERE deployed_version IS NULL) AS draft,
  count(*) FILTER (WHERE deployed_version IS NOT NULL AND load_error IS NULL AND active) AS deployed,
  count(*) FILTER (WHERE deployed_version IS NOT NULL AND load_error IS NULL AND NOT active) AS paused,
  count(*) FILTER (WHERE deployed_version IS NOT NULL AND load_error IS NOT NULL) AS broken
FROM mlops.pipeline WHERE deleted_at IS NULL
"""
_DAGSTER = "SELECT to_regclass('dagster.asset_check_executions') IS NOT NULL"


@dataclass(frozen=True)
class Data:
    """The newest distinct content of a product's source."""

    version: int
    rows: int
    sample: bool
    created_at: datetime


@dataclass(frozen=True)
class Answers:
    """What users got in the last hour: `quick` of the `timed` newest answers were within the product's limit.

    `down` names the variants whose service doesn't answer, with the seconds since.
    """

    answered: int
    failed: int
    timed: int
    quick: int
    down: Mapping[str, float]


@dataclass(frozen=True)
class Check:
    """The newest result of an asset check."""

    asset: str
    name: str
    passed: bool
    blocking: bool
    at: datetime


@dataclass(frozen=True)
class Asset:
    """One asset of a product; `fresh` is None without a policy or before its first judgement."""

    key: str
    made_at: datetime | None
    run_id: str | None
    fresh: bool | None


@dataclass(frozen=True)
class Run:
    """A run of a product's job. Status and job are Dagster's; `seconds` None while it goes or if it never started."""

    run_id: str
    job: str
    status: str
    created_at: datetime
    seconds: float | None


def data(on: Connection, product: str) -> Data | None:
    """The newest version of a product's data."""
    row = on.execute(text(_DATA), {"product": product}).one_or_none()
    return None if row is None else Data(*row)


def answers(on: Connection, product: str, latency_ms: float, now: datetime) -> Answers:
    """The answers of the last hour, and the services that don't answer."""
    values = {"product": product, "now": now, "since": now - timedelta(hours=1)}
    timed = on.execute(text(_ANSWERS), {**values, "limit": latency_ms, "most": MOST_TIMED}).one()
    names = [f"{product}_{variant}" for variant in ("production", "candidate")]
    down = {row.name.removeprefix(f"{product}_"): row.seconds for row in on.execute(text(_DOWN), {"names": names})}
    return Answers(
        answered=max(timed.timed, on.scalar(text(_COUNTED), values) or 0),
        failed=on.scalar(text(_FAILED), values) or 0,
        timed=timed.timed,
        quick=timed.quick,
        down=down,
    )


def checks(on: Connection, product: str, assets: Collection[str]) -> list[Check]:
    """The newest result of each check of some of a product's assets; none before Dagster's first start."""
    if not on.scalar(text(_DAGSTER)):
        return []
    keys = [json.dumps([product, asset]) for asset in assets]
    return [
        Check(
            asset=json.loads(row.asset_key)[-1],
            name=row.name,
            passed=row.status == "SUCCEEDED",
            blocking=str(row.severity).endswith("ERROR"),
            at=row.at,
        )
        for row in on.execute(text(_CHECKS), {"keys": keys})
    ]


def assets(on: Connection, product: str) -> list[Asset]:
    """A product's assets, in the order in which Dagster first heard of them."""
    if not on.scalar(text(_DAGSTER)):
        return []
    prefix = json.dumps([product])[:-1] + ","
    return [
        Asset(json.loads(row.key)[-1], row.made_at, row.run_id, is_fresh(row.state))
        for row in on.execute(text(_ASSETS), {"prefix": prefix})
    ]


def runs(on: Connection, product: str, jobs: Sequence[str] = JOBS, most: int = MOST_RUNS) -> list[Run]:
    """The newest runs of a product's jobs, newest first."""
    if not on.scalar(text(_DAGSTER)):
        return []
    names = [f"{product}_{job}" for job in jobs]
    return [_run(row, product) for row in on.execute(text(_RUNS), {"jobs": names, "most": most})]


def _run(row: Row[Any], product: str) -> Run:
    over = row.start_time is not None and row.end_time is not None
    seconds = row.end_time - row.start_time if over else None
    return Run(row.run_id, row.job.removeprefix(f"{product}_"), row.status, row.created_at, seconds)


def run_counts(on: Connection, now: datetime) -> dict[str, int]:
    """How the runs of the last day ended, and how many haven't; zeros before Dagster's first start."""
    if not on.scalar(text(_DAGSTER)):
        return dict.fromkeys(("succeeded", "failed", "canceled", "running", "queued"), 0)
    since = now - timedelta(hours=HOURS)
    # Dagster writes the times of updates without a zone, in UTC; a run's row may change again after its end.
    margin = (since - timedelta(hours=1)).astimezone(UTC).replace(tzinfo=None)
    ended = on.execute(text(_ENDED), {"margin": margin, "since": since.timestamp()}).one()
    still = on.execute(text(_OPEN), {"unended": list(GOING)}).one()
    return {**ended._mapping, **still._mapping}


def pipeline_counts(on: Connection) -> dict[str, int]:
    """Declared pipelines by what they are."""
    return dict(on.execute(text(_PIPELINES)).one()._mapping)
