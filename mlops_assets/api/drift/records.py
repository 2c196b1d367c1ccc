"""Reads of stored verdicts and of blocks that only a page needs: days without their columns, the oldest, the blocks.

Add a read here when it answers a question of the API alone. Keep out whole verdicts (`drift.store`), every write, and
how things are shown (`views`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Integer, func, select

from mlops_assets.rollout.ledger import Event
from mlops_assets.storage.database import Database, DriftVerdict, LedgerEntry

MOST_BLOCKS = 40


@dataclass(frozen=True)
class Glance:
    """One stored day without its columns."""

    day: date
    status: str
    strength: float
    drifted: list[str]
    release: int
    rows: int
    has_report: bool
    computed_at: datetime


def newest(database: Database, product: str, limit: int) -> list[Glance]:
    """The newest stored days, newest first."""
    table = DriftVerdict
    found = (
        select(
            table.day, table.status, table.strength, table.drifted, table.release,
            table.verdict["current_rows"].astext.cast(Integer), table.report_uri.is_not(None), table.computed_at,
        )
        .where(table.product == product)
        .order_by(table.day.desc())
        .limit(limit)
    )  # fmt: skip
    with database.session() as session:
        return [Glance(*row) for row in session.execute(found)]


def oldest_day(database: Database, product: str) -> date | None:
    """The oldest stored day."""
    with database.session() as session:
        return session.scalar(select(func.min(DriftVerdict.day)).where(DriftVerdict.product == product))


def blocks(database: Database, product: str) -> list[LedgerEntry]:
    """The newest blocks and liftings, newest first."""
    found = (
        select(LedgerEntry)
        .where(LedgerEntry.product == product, LedgerEntry.event.in_([Event.BLOCKED, Event.UNBLOCKED]))
        .order_by(LedgerEntry.seq.desc())
        .limit(MOST_BLOCKS)
    )
    with database.session() as session:
        return list(session.scalars(found))
