"""Reads of the prediction log in PostgreSQL: sums over the last hours, and the rows themselves.

Add a question about the log here. Keep out who may ask (`access`) and every write. Each question uses a
connection of its own for a short time, so any thread may ask; the tables are the platform's migrations'.
"""

from __future__ import annotations

import time
from typing import Any, Literal, get_args

from inference.postgres import DatabaseError, Reader

# Less than the time that a request may take, so that a slow database is told and not timed out.
LIMIT_SECONDS = 1.5

LogType = Literal["predictions", "feedback"]
LogVariant = Literal["production", "candidate", "standby", "all"]

# Identifiers begin with the time, so the first one keeps the database to the days that are asked for. An
# hour is allowed for, in case the clocks of the identifier and of the row differ.
_SUMS = """
WITH chosen AS (
  SELECT latency_ms FROM mlops.prediction
  WHERE product = %(product)s AND id >= %(first)s AND at >= now() - make_interval(hours => %(hours)s)
  AND (%(variant)s = 'all' OR variant = %(variant)s)
), told AS (
  SELECT type, value FROM mlops.feedback_current
  WHERE product = %(product)s AND at >= now() - make_interval(hours => %(hours)s)
  AND (%(variant)s = 'all' OR variant = %(variant)s)
)
SELECT p.*, f.* FROM (
  SELECT count(*), avg(latency_ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY latency_ms),
    percentile_cont(0.99) WITHIN GROUP (ORDER BY latency_ms), min(latency_ms), max(latency_ms) FROM chosen
) p, (
  SELECT count(*), avg(value) FILTER (WHERE type = 'rating'), count(*) FILTER (WHERE type = 'accurate'),
    count(*) FILTER (WHERE type = 'too_high'), count(*) FILTER (WHERE type = 'too_low') FROM told
) f
"""
_PREDICTION_SUMS = ("total_count", *(f"{name}_latency_ms" for name in ("avg", "p95", "p99", "min", "max")))
_FEEDBACK_SUMS = ("total_count", "avg_rating", "accurate_count", "too_high_count", "too_low_count")

_COMMON = ("variant", "version", "assigned", "rollout", "step", "user_hash")
_COLUMNS: dict[LogType, tuple[str, ...]] = {
    "predictions": ("id", "at", *_COMMON, "features", "output", "latency_ms", "request_id", "trace_id", "sample"),
    "feedback": ("id", "prediction_id", "at", "type", "value", "text", *_COMMON, "predicted_at", "estimate"),
}
_TABLES: dict[LogType, str] = {"predictions": "mlops.prediction", "feedback": "mlops.feedback"}
_ROWS = {
    kind: f"SELECT {', '.join(columns)} FROM {_TABLES[kind]} WHERE product = %(product)s "  # noqa: S608 (constants)
    "AND (%(before)s::uuid IS NULL OR id < %(before)s::uuid) ORDER BY id DESC LIMIT %(limit)s"
    for kind, columns in _COLUMNS.items()
}
LOG_TYPES: tuple[LogType, ...] = get_args(LogType)


class LogStore:
    """One product's log. Every method may be called from any thread and raises DatabaseError."""

    def __init__(self, url: str | None, product: str, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._url = url
        self._product = product
        self._limit = limit_seconds

    def sums(self, hours: int, variant: LogVariant) -> tuple[dict[str, Any], dict[str, Any]]:
        """Counts and latencies in milliseconds of the predictions of the last hours, and counts and the mean
        rating (1 to 5) of the feedback; what can't be told without a row is None.
        """
        first = f"{int((time.time() - (hours + 1) * 3600) * 1000) << 16 | 0x7000:016x}8000000000000000"
        (row,) = self._ask(_SUMS, {"first": first, "hours": hours, "variant": variant})
        values = [round(value, 3) if isinstance(value, float) else value for value in row]
        split = len(_PREDICTION_SUMS)
        predictions = dict(zip(_PREDICTION_SUMS, values[:split], strict=True))
        return predictions, dict(zip(_FEEDBACK_SUMS, values[split:], strict=True))

    def rows(self, kind: LogType, limit: int, before: str | None = None) -> list[dict[str, Any]]:
        """The newest rows, newest first, of those whose id is before `before`."""
        found = self._ask(_ROWS[kind], {"limit": limit, "before": before})
        return [dict(zip(_COLUMNS[kind], row, strict=True)) for row in found]

    def _ask(self, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        if self._url is None:
            raise DatabaseError("this service was given no database")
        reader = Reader(self._url, f"inference log {self._product}", limit_seconds=self._limit)
        try:
            return reader.ask(query, parameters | {"product": self._product})
        finally:
            reader.close()
