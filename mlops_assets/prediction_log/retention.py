"""What leaves the prediction log: whole days that are old enough and safe in exported files.

Add here another table that grows by the day. Keep out the files, which stay longer (the capability `retention`), and
when it is asked (`component`). A day's partition is dropped when it holds nothing of another product; otherwise this
product's rows are deleted and the others keep theirs for as long as their own policy says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mlops_assets.storage.database import Database

SCAN_SECONDS = 600
LOCK_SECONDS = 5

_PARTITIONS = """
SELECT to_date(right(child.relname, 8), 'YYYYMMDD') FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'mlops.prediction'::regclass AND child.relname ~ '^prediction_[0-9]{8}$' ORDER BY 1
"""
_STRAY_DAYS = """
SELECT DISTINCT (at AT TIME ZONE 'UTC')::date FROM mlops.prediction_default
WHERE at >= '2020-01-01' AND at < :before AND id >= mlops.first_id((at AT TIME ZONE 'UTC')::date)
  AND id < mlops.first_id((at AT TIME ZONE 'UTC')::date + 1) ORDER BY 1
"""
_STRAY = "SELECT count(*) FROM mlops.prediction_default WHERE product = :product AND at < :before"
_OTHER_DAYS = """
SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date FROM mlops.log_hour WHERE product = :product AND hour < :before
UNION SELECT DISTINCT (at AT TIME ZONE 'UTC')::date FROM mlops.request_failure
WHERE product = :product AND at < :before ORDER BY 1
"""
_NOT_EXPORTED = """
SELECT rows.product, rows.hour FROM ({rows}) AS rows
LEFT JOIN mlops.log_export AS done ON done.product = rows.product AND done.hour = rows.hour
WHERE done.hour IS NULL OR done.max_batch < rows.max_batch
  OR done.predictions < rows.predictions OR done.feedback < rows.feedback
ORDER BY 2 LIMIT 1
"""
_OF_PARTITION = """
SELECT product, date_trunc('hour', at, 'UTC') AS hour, max(batch) AS max_batch, count(*) AS predictions, 0 AS feedback
FROM {partition} WHERE product = :product GROUP BY 1, 2
"""
_OF_DAY = """
SELECT product, hour, max_batch, predictions, feedback FROM mlops.log_hour
WHERE product = :product AND hour >= :start AND hour < :end
"""
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('mlops.prediction_log'))"


@dataclass(frozen=True)
class Removed:
    """What one run did: days that left the log, and days that stay although they are old, each with the reason."""

    days: tuple[date, ...] = ()
    dropped_partitions: int = 0
    predictions: int = 0
    feedback: int = 0
    failures: int = 0
    kept: tuple[tuple[date, str], ...] = ()


def remove_old(database: Database, product: str, keep_days: int, now: datetime) -> Removed:
    """Take the product's days out of the log that ended more than `keep_days` days ago. Safe to repeat."""
    from sqlalchemy.exc import OperationalError

    before = now.astimezone(UTC).date() - timedelta(days=keep_days)
    done = Removed()
    for day in _old_days(database, product, before):
        try:
            found = _remove_day(database, product, day)
        except OperationalError as error:
            found = Removed(kept=((day, f"the database could not do it now: {str(error.orig).splitlines()[0]}"),))
        done = _sum(done, found)
    return _sum(done, _stray(database, product, before))


def _sum(one: Removed, other: Removed) -> Removed:
    return Removed(
        one.days + other.days,
        one.dropped_partitions + other.dropped_partitions,
        one.predictions + other.predictions,
        one.feedback + other.feedback,
        one.failures + other.failures,
        one.kept + other.kept,
    )


def _old_days(database: Database, product: str, before: date) -> list[date]:
    """Days before `before` with anything of the product; rows in the default partition get their own first."""
    from sqlalchemy import text as sql

    limit = datetime(before.year, before.month, before.day, tzinfo=UTC)
    with database.engine.begin() as connection:
        for (day,) in connection.execute(sql(_STRAY_DAYS), {"before": limit}).all():
            connection.execute(sql("SELECT mlops.ensure_prediction_day(:day)"), {"day": day})
    with database.engine.connect() as connection:
        days = {day for (day,) in connection.execute(sql(_PARTITIONS)) if day < before}
        days |= {day for (day,) in connection.execute(sql(_OTHER_DAYS), {"product": product, "before": limit})}
    return sorted(days)


def _stray(database: Database, product: str, before: date) -> Removed:
    """What stays in the default partition: rows of a clock that was wrong, which no day can be told for."""
    from sqlalchemy import text as sql

    where = {"product": product, "before": datetime(before.year, before.month, before.day, tzinfo=UTC)}
    with database.engine.connect() as connection:
        rows = connection.execute(sql(_STRAY), where).scalar()
    return Removed(kept=((before, f"{rows} older rows whose ids tell no day of their own"),)) if rows else Removed()


def _remove_day(database: Database, product: str, day: date) -> Removed:
    from sqlalchemy import text as sql

    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    where = {"product": product, "start": start, "end": start + timedelta(days=1)}
    partition = f"mlops.prediction_{day:%Y%m%d}"
    with database.engine.begin() as connection:
        connection.execute(sql(f"SET LOCAL statement_timeout = '{SCAN_SECONDS}s'"))
        there = connection.execute(sql("SELECT to_regclass(:name) IS NOT NULL"), {"name": partition}).scalar()
        reason = _reason_to_keep(connection, partition if there else None, where)
        seen, rows = _newest(connection, partition) if there else (0, 0)
    if reason:
        return Removed(kept=((day, reason),))
    with database.engine.begin() as connection:
        connection.execute(sql(f"SET LOCAL statement_timeout = '{SCAN_SECONDS}s'"))
        connection.execute(sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        # Nothing is shipped from here on, so the day is what it was found to be, unless rows came meanwhile.
        connection.execute(sql(_LOCK))
        if there and connection.execute(_since(partition), {"seen": seen}).first() is not None:
            return Removed(kept=((day, "rows came while it was looked at"),))
        reason = _reason_to_keep(connection, None, where)
        if reason:
            return Removed(kept=((day, reason),))
        return _delete(connection, day, partition if there else None, rows, where)


def _reason_to_keep(connection: Connection, partition: str | None, where: dict[str, Any]) -> str:
    from sqlalchemy import text as sql

    for rows in (_OF_DAY, _OF_PARTITION.format(partition=partition) if partition else None):
        missing = connection.execute(sql(_NOT_EXPORTED.format(rows=rows)), where).first() if rows else None
        if missing is not None:
            return f"hour {missing[1].astimezone(UTC):%Y-%m-%d %H} is not exported with its newest rows"
    return ""


def _newest(connection: Connection, partition: str) -> tuple[int, int]:
    from sqlalchemy import text as sql

    newest, rows = connection.execute(sql(f"SELECT coalesce(max(batch), 0), count(*) FROM {partition}")).one()  # noqa: S608
    return int(newest), int(rows)


def _since(partition: str) -> Any:
    from sqlalchemy import text as sql

    return sql(f"SELECT 1 FROM {partition} WHERE batch > :seen LIMIT 1")  # noqa: S608


def _delete(connection: Connection, day: date, partition: str | None, rows: int, where: dict[str, Any]) -> Removed:
    from sqlalchemy import text as sql

    def count(statement: str) -> int:
        return int(connection.execute(sql(statement), where).rowcount)

    in_day = "product = :product AND at >= :start AND at < :end"
    predictions = dropped = 0
    if partition:
        others = connection.execute(sql(f"SELECT 1 FROM {partition} WHERE product <> :product LIMIT 1"), where)  # noqa: S608
        if others.first() is None:
            connection.execute(sql(f"DROP TABLE {partition}"))
            predictions, dropped = rows, 1
        else:
            predictions = count(f"DELETE FROM {partition} WHERE product = :product")  # noqa: S608
    feedback = count(f"DELETE FROM mlops.feedback WHERE {in_day}")  # noqa: S608
    failures = count(f"DELETE FROM mlops.request_failure WHERE {in_day}")  # noqa: S608
    count("DELETE FROM mlops.log_hour WHERE product = :product AND hour >= :start AND hour < :end")
    anything = dropped or predictions or feedback or failures
    return Removed((day,) if anything else (), dropped, predictions, feedback, failures)
