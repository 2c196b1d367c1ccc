"""What services answered and were told: rows as they come into the log, and what waits in the journal before it.

Rows are counted from the moment when an exporter first looked; all that came before would take minutes to count, and
nobody compares such a sum. Keep out who was compared with whom (`rollouts`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.settings import Settings

EVERY_SECONDS = 15.0
BACKLOG_SECONDS = 5.0
RATINGS_SECONDS = 60.0
# As the shipper calls it.
STATUS_FILE = "status.json"
LARGEST_STATUS = 64 * 1024
MEMORY = "prediction_log"

_NEWEST = "SELECT coalesce(max(max_batch), 0) AS batch FROM mlops.log_hour"
# Batches become visible in their order: whatever is newer than the newest one seen hasn't been counted.
_PREDICTIONS = """
SELECT product, variant, '' AS kind, count(*) AS number, max(batch) AS batch FROM mlops.prediction
WHERE batch > :batch GROUP BY 1, 2
"""
# By product and time, which there is an index for. Feedback that was given longer ago, before a journal was brought
# in that lay aside, isn't counted.
_FEEDBACK = """
SELECT product, variant, type AS kind, count(*) AS number, max(batch) AS batch FROM mlops.feedback
WHERE product = ANY(:products) AND at > now() - interval '2 days' AND batch > :batch GROUP BY 1, 2, 3
"""
_PRODUCTS = "SELECT DISTINCT product FROM mlops.dataset_version"
_RATINGS = """
SELECT product, variant, avg(value) AS stars FROM mlops.feedback
WHERE product = ANY(:products) AND at > now() - interval '1 day' AND type = 'rating' GROUP BY 1, 2
"""

Key = tuple[str, str, str]


def counted(source: Source, rising: Rising) -> Collector:
    """Rows of the log; looks every fifteen seconds."""
    metrics = of_group("rollouts", only=("mlops_predictions_", "mlops_feedback_"))
    return Collector("prediction_log", metrics, EVERY_SECONDS, LookAtLog(source, rising))


class LookAtLog:
    """Remembers, over restarts too, the newest batch that it has counted, and the counts."""

    def __init__(self, source: Source, rising: Rising) -> None:
        self._source, self._rising = source, rising
        self._batches: dict[str, int] = {}
        self._counts: dict[Key, int] = {}
        self._seen = -1
        self._recall(rising.recall(MEMORY))

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError."""
        with self._source.asking() as connection:
            products = [row.product for row in rows(connection, _PRODUCTS)]
            newest = rows(connection, _NEWEST)[0].batch
            for name, statement in (("predictions", _PREDICTIONS), ("feedback", _FEEDBACK)):
                # A log that was made anew begins at 1 again.
                if self._batches.setdefault(name, newest) > newest:
                    self._batches[name] = newest
                if newest != self._seen:
                    self._count(connection, name, statement, products)
        self._seen = newest
        batches, counts = self._batches, [[*key, number] for key, number in self._counts.items()]
        self._rising.remember(MEMORY, {"batches": dict(batches), "counts": counts})
        for (product, variant, kind), number in self._counts.items():
            if kind:
                sheet.put("mlops_feedback_logged_total", number, product=product, variant=variant, kind=kind)
            else:
                sheet.put("mlops_predictions_logged_total", number, product=product, variant=variant)

    def _count(self, connection: Connection, name: str, statement: str, products: list[str]) -> None:
        for row in rows(connection, statement, {"batch": self._batches[name], "products": products}):
            key = (row.product, row.variant, row.kind)
            self._counts[key] = self._counts.get(key, 0) + row.number
            self._batches[name] = max(self._batches[name], row.batch)

    def _recall(self, kept: Any) -> None:
        try:
            batches = {str(name): int(batch) for name, batch in kept["batches"].items()}
            counts = {(str(p), str(v), str(k)): int(number) for p, v, k, number in kept["counts"]}
        except (TypeError, KeyError, ValueError, AttributeError):
            return
        self._batches, self._counts = batches, counts


def ratings(source: Source) -> Collector:
    """The stars of a day; looks once a minute."""

    def look(sheet: Sheet) -> None:
        with source.asking() as connection:
            products = [row.product for row in rows(connection, _PRODUCTS)]
            for row in rows(connection, _RATINGS, {"products": products}):
                sheet.put("mlops_rating_mean", row.stars, product=row.product, variant=row.variant)

    return Collector("ratings", of_group("rollouts", only=("mlops_rating_",)), RATINGS_SECONDS, look)


def backlog(settings: Settings) -> Collector:
    """The journal, as the shipper tells of it in a file; looks every five seconds."""

    def look(sheet: Sheet) -> None:
        put_backlog(sheet, settings.journal / STATUS_FILE, time.time())

    metrics = of_group("rollouts", only=("mlops_prediction_log_",))
    return Collector("prediction_backlog", metrics, BACKLOG_SECONDS, look, rows=False)


def put_backlog(sheet: Sheet, file: Path, now: float) -> None:
    """What the file tells at `now`; nothing before the shipper has ever run. OSError, ValueError: it can't be read."""
    try:
        with file.open("rb") as opened:
            told = json.loads(opened.read(LARGEST_STATUS))
    except FileNotFoundError:
        return
    if not isinstance(told, dict):
        raise ValueError("the shipper's file holds no object")
    age = max(0.0, now - float(told["updated_at"]))
    oldest = float(told["oldest_unshipped_seconds"])
    sheet.put("mlops_prediction_log_shipper_age_seconds", age)
    sheet.put("mlops_prediction_log_backlog_bytes", float(told["backlog_bytes"]))
    # What waited when the shipper last told goes on waiting while it is silent.
    sheet.put("mlops_prediction_log_backlog_seconds", oldest + age if oldest > 0 else 0)
