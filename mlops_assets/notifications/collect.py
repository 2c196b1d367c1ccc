"""Reads what is new in the ledger and in the drift verdicts, and notes it in the same transaction as how far it read.

Add a source here when facts of it should reach people and it is a table of ours. Keep out the words
(`from_ledger`, `from_drift`) and what Dagster knows (`dagster_sensors`).
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mlops_assets.notifications import from_drift, from_ledger, outbox
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.tables import CURSOR
from mlops_assets.rollout.state import Event
from mlops_assets.storage.database import NOW, Database, DriftVerdict, LedgerEntry

LEDGER = "ledger"
DRIFT = "drift"
DRIFTED = "drifted"
MOST_AT_ONCE = 500
# Rows may be committed in another order than they are numbered: look again at as many before the newest.
OVERLAP_ROWS = 1000
# A verdict's time is taken before its transaction ends: look again that far back. Its key keeps it told once.
OVERLAP = timedelta(minutes=10)


def collect(database: Database, links: Links, now: datetime) -> None:
    """Note every decision and drifted day since the last call; the first call ever notes nothing.

    Raises SQLAlchemyError.
    """
    for source in (_ledger, _drift):
        with database.session() as session, session.begin():
            outbox.lock(session)
            source(session, links, now)


def _ledger(session: Session, links: Links, now: datetime) -> None:
    """Decisions by product and sequence: within a product they are committed in that order, over all they aren't."""
    kept = _position(session, LEDGER)
    asked = select(LedgerEntry.product, func.max(LedgerEntry.seq), func.max(LedgerEntry.id))
    asked = asked.group_by(LedgerEntry.product)
    if kept is None:
        rows = session.execute(asked).all()
        seen, last_id = {product: seq for product, seq, _ in rows}, max([0, *(row_id for _, _, row_id in rows)])
    else:
        position = json.loads(kept)
        seen, last_id = position["seen"], position["id"]
        rows = session.execute(asked.where(LedgerEntry.id > last_id - OVERLAP_ROWS)).all()
        for product, _, _ in rows:
            seen[product] = _decisions(session, product, seen.get(product, 0), links, now)
        # Only when every product is read to its end, for one that isn't must be found again.
        if all(seen[product] >= seq for product, seq, _ in rows):
            last_id = max([last_id, *(row_id for _, _, row_id in rows)])
    _keep(session, LEDGER, json.dumps({"id": last_id, "seen": seen}, sort_keys=True))


def _decisions(session: Session, product: str, after: int, links: Links, now: datetime) -> int:
    """Note what is new of a product, a page at most; the decision it was read up to."""
    asked = select(LedgerEntry).where(LedgerEntry.product == product, LedgerEntry.seq > after)
    entries = list(session.scalars(asked.order_by(LedgerEntry.seq).limit(MOST_AT_ONCE)))
    if not entries:
        return after
    blocked, found = _blocked_before(session, product, entries[0].seq), []
    for entry in entries:
        # A block that only changes its words goes on, and was told.
        found += [] if blocked and entry.event == Event.BLOCKED else [from_ledger.notice(entry, links)]
        blocked = entry.drift_block is not None
    outbox.add(session, [notice for notice in found if notice is not None], now)
    return entries[-1].seq


def _blocked_before(session: Session, product: str, seq: int) -> bool:
    before = select(LedgerEntry.drift_block).where(LedgerEntry.product == product, LedgerEntry.seq < seq)
    return session.scalar(before.order_by(LedgerEntry.seq.desc()).limit(1)) is not None


def _drift(session: Session, links: Links, now: datetime) -> None:
    """Drifted days by when they were computed, never from before the first call."""
    kept = _position(session, DRIFT)
    if kept is None:
        begin: datetime = session.execute(select(NOW)).scalar_one()
        _keep(session, DRIFT, json.dumps({"begin": begin.isoformat(), "seen": begin.isoformat()}))
        return
    position = json.loads(kept)
    begin, seen = (datetime.fromisoformat(position[name]) for name in ("begin", "seen"))
    drifted = select(DriftVerdict).where(DriftVerdict.status == DRIFTED)
    after = DriftVerdict.computed_at > max(begin, seen - OVERLAP)
    rows = session.scalars(drifted.where(after).order_by(DriftVerdict.computed_at).limit(MOST_AT_ONCE)).all()
    found = [from_drift.notice(r.product, r.day, r.release, r.verdict, r.computed_at, links) for r in rows]
    outbox.add(session, found, now)
    if rows:
        newest = rows[-1].computed_at
        # A full page may hold only what is known: the next one then begins behind it.
        seen = newest + OVERLAP if len(rows) == MOST_AT_ONCE else max(seen, newest)
    _keep(session, DRIFT, json.dumps({"begin": begin.isoformat(), "seen": seen.isoformat()}))


def _position(session: Session, source: str) -> str | None:
    return session.scalar(select(CURSOR.c.position).where(CURSOR.c.source == source))


def _keep(session: Session, source: str, position: str) -> None:
    if _position(session, source) == position:
        return
    values = {"source": source, "position": position}
    session.execute(insert(CURSOR).values(values).on_conflict_do_update(index_elements=["source"], set_=values))
