"""Notices in and out of the database: noted once by key, whoever notes them and however often.

Add here how notices are stored or read. Keep out who is told of them (`telling`, `deliver`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mlops_assets.notifications.notice import Kind, Notice, Severity
from mlops_assets.notifications.tables import DELIVERY, GROUP, NOTICE
from mlops_assets.storage.database import Database

LOCK = "mlops.notifications"
MOST_IN_ONE = 500
MOST_FORGOTTEN = 10_000


@dataclass(frozen=True)
class Told:
    """A notice and where it went: for each channel, `sent`, `waiting` or `given_up`."""

    notice: Notice
    outcome: str | None
    channels: dict[str, str]


def lock(session: Session) -> None:
    """Let no other notifier read sources or decide what is told until this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(LOCK))))


def add(session: Session, notices: Iterable[Notice], now: datetime) -> int:
    """Note facts inside the caller's transaction; one whose key is noted already changes nothing. How many were new."""
    rows, new = [asdict(notice) | {"noted_at": now} for notice in notices], 0
    for first in range(0, len(rows), MOST_IN_ONE):
        added = insert(NOTICE).values(rows[first : first + MOST_IN_ONE])
        added = added.on_conflict_do_nothing(index_elements=["key"])
        new += len(session.execute(added.returning(NOTICE.c.id)).all())
    return new


def note(database: Database, notices: Sequence[Notice]) -> int:
    """Note facts in a transaction of their own. How many were new. Raises SQLAlchemyError."""
    if not notices:
        return 0
    with database.session() as session, session.begin():
        return add(session, notices, datetime.now(UTC))


def known(database: Database, keys: Iterable[str]) -> set[str]:
    """Which of these keys are noted already."""
    asked = sorted(set(keys))
    if not asked:
        return set()
    with database.session() as session:
        return set(session.scalars(select(NOTICE.c.key).where(NOTICE.c.key.in_(asked))))


def notice_of(row: Row[Any]) -> Notice:
    """The notice of a row that has all columns of the table."""
    return Notice(
        kind=Kind(row.kind),
        product=row.product,
        subject=row.subject,
        severity=Severity(row.severity),
        title=row.title,
        body=row.body,
        link=row.link,
        key=row.key,
        group=row.group,
        at=row.at,
    )


def newest(database: Database, limit: int) -> list[Told]:
    """The newest notices, newest first, each with the channels it is for."""
    with database.session() as session:
        rows = session.execute(select(NOTICE).order_by(NOTICE.c.id.desc()).limit(limit)).all()
        of_these = DELIVERY.c.notice_id.in_([row.id for row in rows])
        deliveries = session.execute(select(DELIVERY).where(of_these).order_by(DELIVERY.c.channel)).all()
    found: dict[int, dict[str, str]] = {}
    for delivery in deliveries:
        found.setdefault(delivery.notice_id, {})[delivery.channel] = delivery.state
    return [Told(notice_of(row), row.outcome, found.get(row.id, {})) for row in rows]


def forget(database: Database, before: datetime) -> int:
    """Remove what was noted before a moment and is settled; how many notices went. Raises SQLAlchemyError."""
    waiting = select(DELIVERY.c.notice_id).where(DELIVERY.c.state == "waiting")
    grouped = select(GROUP.c.last_id)
    old = NOTICE.c.noted_at < before, NOTICE.c.outcome.is_not(None)
    gone = select(NOTICE.c.id).where(*old, NOTICE.c.id.not_in(waiting), NOTICE.c.id.not_in(grouped))
    with database.session() as session, session.begin():
        lock(session)
        ids = list(session.scalars(gone.limit(MOST_FORGOTTEN)))
        session.execute(delete(DELIVERY).where(DELIVERY.c.notice_id.in_(ids)))
        session.execute(delete(NOTICE).where(NOTICE.c.id.in_(ids)))
    return len(ids)
