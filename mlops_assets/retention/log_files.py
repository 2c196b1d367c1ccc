"""Hourly files of the prediction log, and the rows that tell of them, after `MLOPS_LOG_FILE_DAYS`.

A day whose rows are still in the database keeps its files: they are how its retention knows that nothing is lost. Keep
out the rows of the log (`prediction_log.retention`). Files go before their row, so a killed round is taken up again.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text

from mlops_assets.prediction_log.exporting import FEEDBACK, PREDICTIONS, folder_of
from mlops_assets.retention.round import Round, Swept
from mlops_assets.retention.run_files import products
from mlops_assets.storage.files import MissingFileError, Storage, StorageError, told

FOLDER = "prediction_log"
_DAY = re.compile(r"date=(\d{4}-\d\d-\d\d)")
_EXPORTED = """
SELECT product, (hour AT TIME ZONE 'UTC')::date AS day FROM mlops.log_export WHERE hour < :before GROUP BY 1, 2
"""
_HELD = """
SELECT EXISTS (SELECT 1 FROM mlops.log_hour WHERE product = :product AND hour >= :start AND hour < :end)
  OR to_regclass(:partition) IS NOT NULL
"""
_FORGET = "DELETE FROM mlops.log_export WHERE product = :product AND hour >= :start AND hour < :end"

log = logging.getLogger(__name__)


def sweep(work: Round) -> Swept:
    """Remove old days, oldest first. Raises SQLAlchemyError."""
    done = Swept()
    for day, product in sorted(_old_days(work)):
        if work.over:
            return done + Swept(unfinished=True)
        try:
            done += _day(work, product, day)
        except StorageError as error:
            log.warning("the files of %s of %s can't be removed: %s", day, product, error)
            done += Swept(failed=1)
    return done


def _old_days(work: Round) -> set[tuple[date, str]]:
    """Days that are old enough, by the rows that tell of files and by the folders."""
    before = work.before(work.settings.log_file_days).date()
    with work.database.engine.connect() as connection:
        rows = connection.execute(text(_EXPORTED), {"before": _start(before)}).all()
    found = {(row.day, row.product) for row in rows}
    for product in products(work.storage):
        named = (_DAY.fullmatch(name) for name in work.storage.at(product, FOLDER).names())
        found |= {(day, product) for name in named if name and (day := date.fromisoformat(name[1])) < before}
    return found


def _day(work: Round, product: str, day: date) -> Swept:
    asked = {"product": product, "start": _start(day), "end": _start(day) + timedelta(days=1)}
    with work.database.engine.connect() as connection:
        held = connection.execute(text(_HELD), asked | {"partition": f"mlops.prediction_{day:%Y%m%d}"}).scalar()
    if held:
        return Swept(kept=1)
    done = Swept()
    for hour in (_start(day) + timedelta(hours=n) for n in range(24)):
        folder = folder_of(work.storage, product, hour)
        for name in (PREDICTIONS, FEEDBACK):
            done += _file(work, folder, name)
        _remove_empty(work, folder)
    _remove_empty(work, work.storage.at(product, FOLDER, f"date={day}"))
    if work.apply:
        with work.database.engine.begin() as connection:
            connection.execute(text(_FORGET), asked)
    return done


def _file(work: Round, folder: Storage, name: str) -> Swept:
    try:
        with told(folder.locate(name)):
            size = (folder.root / name).stat().st_size
    except MissingFileError:
        return Swept()
    if work.apply:
        folder.remove(name)
    return Swept(removed=1, bytes=size)


def _remove_empty(work: Round, folder: Storage) -> None:
    """Remove a local folder, unless something else lies in it."""
    if work.apply and folder.folder is not None:
        with suppress(OSError):
            folder.folder.rmdir()


def _start(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
