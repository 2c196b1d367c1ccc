"""A day of live data as a sample, read from the hourly files of the prediction log; and which days wait to be compared.

Add here what is asked of a day as a whole. Keep out how a file is read (`hour_files`), how rows are chosen (`keyed`),
the last hours straight from the tables (`recent`) and the comparison (`judge`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from mlops_assets.drift.facts import Monitored
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.sample import ERROR, ESTIMATE, Sample, features, framed, scored, scores
from mlops_assets.prediction_log.exporting import folder_of
from mlops_assets.storage.files import MissingFileError, Storage

if TYPE_CHECKING:
    from mlops_assets.storage.database import Database

DUE_DAYS = 14
DAY = timedelta(days=1)

# The condition of `prediction_log.hours`: an hour whose rows were removed after its export is never due again.
_HOURS = """
SELECT coalesce(rows.hour, done.hour) AS hour, coalesce(done.predictions, 0), coalesce(done.feedback, 0),
  coalesce(rows.predictions + rows.feedback > 0 AND (done.hour IS NULL OR (rows.max_batch > done.max_batch
    AND rows.predictions >= done.predictions AND rows.feedback >= done.feedback)), false)
FROM (SELECT * FROM mlops.log_hour WHERE product = :product AND hour >= :start AND hour < :end) AS rows
FULL JOIN (SELECT * FROM mlops.log_export WHERE product = :product AND hour >= :start AND hour < :end) AS done
  ON done.hour = rows.hour
ORDER BY 1
"""
_DUE = """
SELECT day FROM (
  SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date AS day FROM (
    SELECT hour FROM mlops.log_hour WHERE product = :product AND hour >= :start AND hour < :end AND predictions > 0
    UNION ALL
    SELECT hour FROM mlops.log_export WHERE product = :product AND hour >= :start AND hour < :end AND predictions > 0
  ) AS hours
) AS days
WHERE NOT EXISTS (SELECT 1 FROM mlops.drift_verdict AS v WHERE v.product = :product AND v.day = days.day)
ORDER BY day
"""


class NotExportedError(RuntimeError):
    """Hours of the day are not in files with their newest rows; the message names them and the job."""


@dataclass(frozen=True)
class _Hour:
    hour: datetime
    predictions: int
    feedback: int
    due: bool


def due_days(database: Database, product: str, now: datetime, days: int = DUE_DAYS) -> list[date]:
    """UTC days that are over, began at most `days` days ago, have predictions and no verdict; oldest first."""
    from sqlalchemy import text as sql

    today = now.astimezone(UTC).date()
    where = {"product": product, "start": _start(today - days * DAY), "end": _start(today)}
    with database.engine.connect() as connection:
        return [day for (day,) in connection.execute(sql(_DUE), where)]


def read_day(
    database: Database,
    storage: Storage,
    product: str,
    day: date,
    monitored: Sequence[Monitored],
    release: int,
    policy: DriftPolicy,
) -> Sample:
    """What was asked on a UTC day, whoever answered; estimates and errors of the answers of `release` only.

    Equal requests of one user count once. Errors are of actual values that arrived on the day, the last one of each
    prediction. At most `policy.sample_rows` rows of each, chosen by `policy.seed`, in the order of time. A day
    without rows gives an empty sample. Raises NotExportedError; StorageError when a file can't be read.
    """
    from mlops_assets.drift.hour_files import offer_errors, offer_predictions
    from mlops_assets.drift.keyed import Smallest

    hours = _hours(database, product, day)
    _refuse(product, day, [hour.hour for hour in hours if hour.due], "have newer rows than their files")
    columns, names = features(monitored), scores(monitored)
    asked, answered = Smallest(policy.sample_rows), Smallest(policy.sample_rows)
    valued, gone, logged = Smallest(policy.sample_rows, keep="last"), [], 0
    for hour in hours:
        folder = folder_of(storage, product, hour.hour)
        try:
            if hour.predictions:
                logged += offer_predictions(folder, columns, release, policy.seed, asked, answered)
            if hour.feedback and ERROR in names:
                offer_errors(folder, release, policy.seed, valued)
        except MissingFileError:
            gone.append(hour.hour)
    _refuse(product, day, gone, "were exported and their files are gone")
    rows, estimates, errors = asked.chosen(), answered.chosen(), valued.chosen()
    values = {} if rows is None else {column.name: rows[column.name].tolist() for column in columns}
    known = {} if estimates is None else {ESTIMATE: estimates[ESTIMATE].tolist()}
    if errors is not None:
        known[ERROR] = errors[ERROR].dropna().tolist()
    return Sample(rows=framed(columns, values), scored=scored(names, known), logged_rows=logged)


def _hours(database: Database, product: str, day: date) -> list[_Hour]:
    from sqlalchemy import text as sql

    where = {"product": product, "start": _start(day), "end": _start(day + DAY)}
    with database.engine.connect() as connection:
        found = connection.execute(sql(_HOURS), where)
        return [_Hour(hour.astimezone(UTC), *rest) for hour, *rest in found]


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _refuse(product: str, day: date, hours: Sequence[datetime], why: str) -> None:
    if hours:
        named = ", ".join(f"{hour:%H}:00" for hour in hours)
        raise NotExportedError(
            f"{product} {day}: hours {named} (UTC) {why}; run the job {product}_log_export for them first"
        )
