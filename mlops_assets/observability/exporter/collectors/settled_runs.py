"""Goes through all runs once, and from then on through those only that may still change.

Runs are numbered as they are made. Those made more than an hour ago that have ended stay as they are, so what is
counted of them is counted once; the younger ones, which are few, are counted anew at each look. Keep out what is
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, text

from mlops_assets.observability.exporter.collectors.source import Source, rows

ENDED = ["SUCCESS", "FAILURE", "CANCELED"]
UNENDED = ["QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING"]
# A step of the first count; a statement over so many runs ends within its time limit.
STEP = 20_000

# Not only by number: who makes a run may have taken its number before others and shows it after them.
_EDGE = """
SELECT id + 1 FROM dagster.runs WHERE create_timestamp::timestamptz < now() - interval '1 hour'
ORDER BY id DESC LIMIT 1
"""
_STEP_END = """
SELECT max(id) + 1 FROM (
  SELECT id FROM dagster.runs WHERE id >= :low AND id < :edge ORDER BY id LIMIT :step) AS step
"""
_UNENDED = "SELECT id FROM dagster.runs WHERE id >= :low AND id < :high AND status <> ALL(:ended)"
_ENDED_SINCE = "SELECT id FROM dagster.runs WHERE id = ANY(:ids) AND status = ANY(:ended)"
_GONE = "SELECT id FROM unnest(:ids) AS id WHERE NOT EXISTS (SELECT 1 FROM dagster.runs AS r WHERE r.id = id.id)"

# What the counting statements end their condition with.
BETWEEN = "r.id >= :low AND r.id < :high AND r.id <> ALL(:but)"
THESE = "r.id = ANY(:ids)"
YOUNG = "r.id >= :low"

Counted = list[Row[Any]]
# Counts ended runs `r` that meet a condition, one of the three above, with these values.
Count = Callable[[Connection, str, Mapping[str, Any]], Counted]


class SettledRuns:
    """`keep` is given the counts of runs that won't change any more, of each once."""

    def __init__(self, source: Source, count: Count, keep: Callable[[Counted], None]) -> None:
        self._source, self._count, self._keep = source, count, keep
        self._edge = 0
        # Old and not ended: their turn comes when they have.
        self._open: set[int] = set()

    def rest(self) -> Counted:
        """The counts of young runs, once all others are kept. Raises SQLAlchemyError; what is kept stays kept."""
        with self._source.asking() as connection:
            edge = connection.execute(text(_EDGE)).scalar()
        while edge is not None and self._settle(edge):
            pass
        if self._open:
            self._settle_late()
        with self._source.asking() as connection:
            return self._count(connection, YOUNG, {"low": self._edge})

    def _settle(self, edge: int) -> bool:
        with self._source.asking() as connection:
            low = self._edge
            high = connection.execute(text(_STEP_END), {"low": low, "edge": edge, "step": STEP}).scalar()
            if high is None:
                return False
            # Asked first: who ends in between is left for later, not lost.
            still = [row.id for row in rows(connection, _UNENDED, {"low": low, "high": high, "ended": ENDED})]
            counted = self._count(connection, BETWEEN, {"low": low, "high": high, "but": still})
        self._keep(counted)
        self._edge = high
        self._open.update(still)
        return True

    def _settle_late(self) -> None:
        with self._source.asking() as connection:
            asked = {"ids": sorted(self._open), "ended": ENDED}
            ended = [row.id for row in rows(connection, _ENDED_SINCE, asked)]
            gone = [row.id for row in rows(connection, _GONE, {"ids": asked["ids"]})]
            counted = self._count(connection, THESE, {"ids": ended}) if ended else []
        self._keep(counted)
        self._open.difference_update(ended, gone)
