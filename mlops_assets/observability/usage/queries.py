"""Asks the table of what stages used: a run's attempts, the period and prices that sums are for, removal.

Add a question here when the API, the command line or an asset asks it. Keep out sums (`sums`), figures and prices
(`figures`) and the comparison of two weeks (`compared`). An attempt that told of no end is running while its run goes
on and has begun no other attempt of that stage; else its process died, and it is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from mlops_assets.observability.usage.figures import AttemptUsage, Prices

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


def prices_of(settings: Settings) -> Prices:
    """What this installation pays."""
    return Prices(settings.cpu_hour_price, settings.gb_hour_price, settings.price_currency)


RUNNING = """
running AS (
  SELECT u.* FROM mlops.stage_usage u
  WHERE u.outcome IS NULL AND {where}
    AND EXISTS (SELECT 1 FROM dagster.runs r WHERE r.run_id = u.run_id AND r.status = ANY(:going))
    AND NOT EXISTS (SELECT 1 FROM mlops.stage_usage n
                    WHERE n.run_id = u.run_id AND n.step_key = u.step_key AND n.attempt > u.attempt)
)"""


def of_run(database: Database, run_id: str) -> list[AttemptUsage] | None:
    """Every attempt of a run by its start; None if neither the table nor Dagster knows the run."""
    query = f"""
        WITH {RUNNING.format(where="u.run_id = :run_id")}
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


def _rows(database: Database, query: str, asked: dict[str, Any]) -> Sequence[dict[str, Any]]:
    with database.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query), asked).mappings()]
