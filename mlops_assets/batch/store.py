"""The kept scores, tables `mlops.scored_month` and `mlops.scored_record`: one row a product, mode and month.

Add here how scored months are kept or asked for. Keep out how they come about (`scoring`) and the files of all
records, which `ScoredMonth.file` names below `<product>/scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, cast

from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Session

from mlops_assets.batch.figures import MonthFigures
from mlops_assets.batch.months import of_day
from mlops_assets.storage.database import NOW, Database, ScoredMonth, ScoredRecord

Mode = Literal["production", "compatibility"]
PRODUCTION: Mode = "production"
COMPATIBILITY: Mode = "compatibility"
KEY = ("product", "mode", "month")
# The tables rather than their classes: the same statements, without the classes' book-keeping.
_MONTHS, _RECORDS = cast("Table", ScoredMonth.__table__), cast("Table", ScoredRecord.__table__)


def _upsert() -> Insert:
    statement = insert(_MONTHS)
    given = {name: column for name, column in statement.excluded.items() if name not in KEY}
    return statement.on_conflict_do_update(index_elements=KEY, set_=given | {"scored_at": NOW})


_UPSERT = _upsert()


@dataclass(frozen=True)
class Lowest:
    """One of a month's lowest scores: when (local time), why, and the record as JSON takes it."""

    at: datetime
    score: float
    reasons: tuple[str, ...]
    record: dict[str, Any]


@dataclass(frozen=True)
class Month:
    """A scored month to keep; `month` is its first day, `lowest` its lowest scores in order.

    `release` is None for a forest of its own.
    """

    product: str
    mode: Mode
    month: date
    release: int | None
    data_version: int
    rows_sha256: str
    in_training: bool
    figures: MonthFigures
    file: str
    file_sha256: str
    lowest: tuple[Lowest, ...] = ()
    run_id: str | None = None


@dataclass(frozen=True)
class Kept:
    """What tells whether a scored month is still up to date."""

    rows_sha256: str
    scored_at: datetime


def save(database: Database, months: Sequence[Month]) -> None:
    """Keep months in place of what was kept of them, their lowest records too, in one transaction."""
    with database.session() as session, session.begin():
        _put(session, months)


def replace(database: Database, product: str, mode: Mode, months: Sequence[Month]) -> None:
    """Keep these months in place of all of the product and mode, in one transaction."""
    left = (ScoredMonth.product == product) & (ScoredMonth.mode == mode)
    with database.session() as session, session.begin():
        session.execute(delete(ScoredMonth).where(left, ScoredMonth.month.not_in([one.month for one in months])))
        _put(session, months)


def kept(database: Database, product: str) -> dict[str, Kept]:
    """Every month that production scored, by its name such as "2023-07"."""
    columns = (ScoredMonth.month, ScoredMonth.rows_sha256, ScoredMonth.scored_at)
    mine = (ScoredMonth.product == product) & (ScoredMonth.mode == PRODUCTION)
    with database.session() as session:
        return {of_day(month): Kept(sha256, at) for month, sha256, at in session.execute(select(*columns).where(mine))}


def overview(database: Database, product: str, mode: Mode = PRODUCTION) -> list[ScoredMonth]:
    """Every scored month, oldest first."""
    mine = (ScoredMonth.product == product) & (ScoredMonth.mode == mode)
    with database.session() as session:
        return list(session.scalars(select(ScoredMonth).where(mine).order_by(ScoredMonth.month)))


def one(database: Database, product: str, month: date, mode: Mode = PRODUCTION) -> ScoredMonth | None:
    """One scored month."""
    with database.session() as session:
        return session.get(ScoredMonth, (product, mode, month))


def lowest(
    database: Database, product: str, mode: Mode = PRODUCTION, month: date | None = None, limit: int | None = None
) -> list[ScoredRecord]:
    """The kept records with the lowest scores, lowest first, of one month or of all."""
    table = ScoredRecord
    found = select(table).where(table.product == product, table.mode == mode)
    if month is not None:
        found = found.where(table.month == month)
    with database.session() as session:
        return list(session.scalars(found.order_by(table.score, table.month, table.place).limit(limit)))


def _put(session: Session, months: Sequence[Month]) -> None:
    # Two that keep the same months wait for each other here, and in the same order.
    ordered = sorted(months, key=_key)
    if not ordered:
        return
    session.execute(_UPSERT, [_row(month) for month in ordered])
    keys = [_key(month) for month in ordered]
    session.execute(
        delete(ScoredRecord).where(tuple_(ScoredRecord.product, ScoredRecord.mode, ScoredRecord.month).in_(keys))
    )
    records = [
        dict(zip(KEY, _key(month), strict=True)) | {"place": place} | _without_nul(vars(one))
        for month in ordered
        for place, one in enumerate(month.lowest, 1)
    ]
    if records:
        session.execute(insert(_RECORDS), records)


def _key(month: Month) -> tuple[str, Mode, date]:
    return month.product, month.mode, month.month


def _row(month: Month) -> dict[str, Any]:
    row = vars(month) | vars(month.figures)
    row["groups"] = _without_nul(row["groups"])
    return {name: value for name, value in row.items() if name not in ("figures", "lowest")}


def _without_nul(value: Any) -> Any:
    """PostgreSQL keeps every text but those with a NUL."""
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(inner) for inner in value]
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
