"""Asks the table of what stages used: sums by product, stage or job over a period, the attempts of a run, removal.

Add a question here when the API, the command line or an asset asks it. Keep out figures and prices (`figures`) and the
comparison of two weeks (`compared`). An attempt that told of no end is running while its run goes on and has begun no
other attempt of that stage; else its process died, and it is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import text

from mlops_assets.observability.usage.figures import AttemptUsage, By, Prices, Usage

if TYPE_CHECKING:
    from mlops_assets.settings import Settings
    from mlops_assets.storage.database import Database

LONGEST_DAYS = 400
BATCH = 10_000
# Dagster's words for a run that hasn't ended.
GOING = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")


class PeriodError(ValueError):
    """The asked-for time can't be looked at; the message names the field."""


@dataclass(frozen=True)
class Period:
    """From `since` up to and without `until`; attempts count by their start. Raises PeriodError."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise PeriodError(f"since: must be before until ({self.until:%Y-%m-%d %H:%M} UTC)")
        if self.until - self.since > timedelta(days=LONGEST_DAYS):
            raise PeriodError(f"since: at most {LONGEST_DAYS} days before until")

    @classmethod
    def of(cls, since: datetime | None, until: datetime | None, *, days: float = 7) -> Period:
        """With what isn't given: until now, since so many days before. Raises PeriodError."""
        end = (until or datetime.now(UTC)).astimezone(UTC)
        return cls(since.astimezone(UTC) if since else end - timedelta(days=days), end)


class Found(NamedTuple):
    """Some of the sums, and how many there are in all."""

    items: list[Usage]
    total: int


def prices_of(settings: Settings) -> Prices:
    """What this installation pays."""
    return Prices(settings.cpu_hour_price, settings.gb_hour_price, settings.price_currency)


_RUNNING = """
running AS (
  SELECT u.run_id, u.step_key, u.attempt FROM mlops.stage_usage u
  WHERE u.outcome IS NULL AND {where}
    AND EXISTS (SELECT 1 FROM dagster.runs r WHERE r.run_id = u.run_id AND r.status = ANY(:going))
    AND NOT EXISTS (SELECT 1 FROM mlops.stage_usage n
                    WHERE n.run_id = u.run_id AND n.step_key = u.step_key AND n.attempt > u.attempt)
)"""
_IN_PERIOD = "u.started_at >= :since AND u.started_at < :until"
_GROUPS: dict[By, str] = {"product": "kind, product", "stage": "kind, product, stage", "job": "kind, product, job"}
_SUMS = """
  count(DISTINCT u.run_id) AS runs, count(*) AS attempts,
  count(*) FILTER (WHERE u.outcome = 'FAILURE') AS failed,
  count(*) FILTER (WHERE u.outcome = 'RETRY') AS retried,
  count(*) FILTER (WHERE u.outcome = 'CANCELED') AS canceled,
  count(*) FILTER (WHERE u.outcome IS NULL AND running.run_id IS NULL) AS lost,
  count(running.run_id) AS running,
  coalesce(sum(u.wall_seconds), 0) AS wall_seconds, coalesce(sum(u.cpu_seconds), 0) AS cpu_seconds,
  coalesce(max(u.peak_memory_bytes), 0) AS peak_memory_bytes,
  coalesce(sum(u.peak_memory_bytes * u.wall_seconds), 0) AS byte_seconds,
  coalesce(sum(u.read_bytes), 0)::bigint AS read_bytes, coalesce(sum(u.written_bytes), 0)::bigint AS written_bytes,
  max(u.started_at) AS last_started_at"""


def used(database: Database, period: Period, by: By, prices: Prices, *, limit: int = 500, offset: int = 0) -> Found:
    """The sums of a period, the dearest first. Raises SQLAlchemyError."""
    columns = _GROUPS[by]
    query = f"""
        WITH {_RUNNING.format(where=_IN_PERIOD)},
        sums AS (
          SELECT {", ".join(f"u.{name}" for name in columns.split(", "))}, {_SUMS}
          FROM mlops.stage_usage u LEFT JOIN running USING (run_id, step_key, attempt)
          WHERE {_IN_PERIOD} GROUP BY {", ".join(f"u.{name}" for name in columns.split(", "))}
        )
        SELECT sums.*, count(*) OVER () AS total FROM sums
        ORDER BY cpu_seconds * :cpu_price + byte_seconds * :byte_price DESC, {columns}
        LIMIT :limit OFFSET :offset"""  # noqa: S608 of the texts above
    asked = {
        **_asked(period),
        "cpu_price": prices.cost(1, 0),
        "byte_price": prices.cost(0, 1),
        "limit": limit,
        "offset": offset,
    }
    rows = _rows(database, query, asked)
    if not rows and offset:
        return Found([], used(database, period, by, prices, limit=1).total)
    totals = [row.pop("total") for row in rows]
    return Found([Usage(**{"stage": None, "job": None} | row) for row in rows], totals[0] if totals else 0)


def used_in_all(database: Database, period: Period) -> dict[str, Any]:
    """The same sums over everything: columns of `Usage` without names. Raises SQLAlchemyError."""
    query = f"""
        WITH {_RUNNING.format(where=_IN_PERIOD)}
        SELECT {_SUMS} FROM mlops.stage_usage u LEFT JOIN running USING (run_id, step_key, attempt)
        WHERE {_IN_PERIOD}"""  # noqa: S608 of the texts above
    return _rows(database, query, _asked(period))[0]


def of_run(database: Database, run_id: str) -> list[AttemptUsage] | None:
    """Every attempt of a run by its start; None if neither the table nor Dagster knows the run."""
    query = f"""
        WITH {_RUNNING.format(where="u.run_id = :run_id")}
        SELECT u.run_id, u.kind, u.product, u.stage, u.job, u.attempt, u.started_at, u.ended_at,
          coalesce(u.outcome, CASE WHEN running.run_id IS NULL THEN 'LOST' ELSE 'RUNNING' END) AS outcome,
          u.wall_seconds, u.cpu_seconds, u.peak_memory_bytes, u.read_bytes, u.written_bytes
        FROM mlops.stage_usage u LEFT JOIN running USING (run_id, step_key, attempt)
        WHERE u.run_id = :run_id ORDER BY u.started_at, u.step_key, u.attempt"""  # noqa: S608 of the texts above
    rows = _rows(database, query, {"run_id": run_id, "going": list(GOING)})
    if not rows and not _rows(database, "SELECT 1 FROM dagster.runs WHERE run_id = :run_id", {"run_id": run_id}):
        return None
    return [AttemptUsage(**row) for row in rows]


def remove_older(database: Database, before: datetime) -> int:
    """Remove the attempts that began before that moment, in short transactions; how many. Raises SQLAlchemyError."""
    removed = 0
    query = text("""
        DELETE FROM mlops.stage_usage WHERE ctid = ANY(ARRAY(
          SELECT ctid FROM mlops.stage_usage WHERE started_at < :before ORDER BY started_at LIMIT :batch))""")
    while True:
        with database.engine.begin() as connection:
            gone = connection.execute(query, {"before": before, "batch": BATCH}).rowcount
        removed += gone
        if gone < BATCH:
            return removed


def _asked(period: Period) -> dict[str, Any]:
    return {"since": period.since, "until": period.until, "going": list(GOING)}


def _rows(database: Database, query: str, asked: dict[str, Any]) -> Sequence[dict[str, Any]]:
    with database.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query), asked).mappings()]
