"""Which hours of the prediction log should be exported now.

Add here a reason to export an hour. Keep out how (`exporting`) and when it is asked (`component`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_assets.prediction_log.exporting import HOUR

if TYPE_CHECKING:
    from mlops_assets.storage.database import Database

# The first hour that may be a partition; the log of no installation is older.
FIRST_HOUR = datetime(2026, 1, 1, tzinfo=UTC)
MOST_HOURS = 48

# An hour whose rows were removed after its export counts fewer rows than were exported: it is never due again.
_DUE = """
SELECT rows.hour FROM mlops.log_hour AS rows
LEFT JOIN mlops.log_export AS done ON done.product = rows.product AND done.hour = rows.hour
WHERE rows.product = :product AND rows.hour >= :first AND rows.hour <= :last
  AND (done.hour IS NULL OR (rows.max_batch > done.max_batch
    AND rows.predictions >= done.predictions AND rows.feedback >= done.feedback))
ORDER BY rows.hour LIMIT :most
"""
_DONE = "SELECT 1 FROM mlops.log_export WHERE product = :product AND hour = :hour"


@dataclass(frozen=True)
class Due:
    """Hours to export, oldest first: the last finished one, those never exported, those with later rows."""

    hours: tuple[datetime, ...]
    more: bool


def last_finished(now: datetime) -> datetime:
    """The beginning of the last whole hour before `now`, in UTC."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - HOUR


def due_hours(database: Database, product: str, now: datetime, most: int = MOST_HOURS) -> Due:
    """Finished hours that are due, `most` at once; `more` tells that others wait for the next time.

    The last finished hour is due without any row too, so that an hour without traffic is seen to be one.
    """
    from sqlalchemy import text as sql

    last = last_finished(now)
    with database.engine.connect() as connection:
        where = {"product": product, "first": FIRST_HOUR, "last": last, "most": most + 1}
        found = [hour.astimezone(UTC) for (hour,) in connection.execute(sql(_DUE), where)]
        done = connection.execute(sql(_DONE), {"product": product, "hour": last}).one_or_none()
    due = found[:most]
    if done is None and last not in due and last >= FIRST_HOUR:
        due.append(last)
    return Due(tuple(due), len(found) > most)
