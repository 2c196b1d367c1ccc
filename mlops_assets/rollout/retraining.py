"""Whether a rollback asks for a new training run now, and if not, what it waits for.

Keep out the asking itself: that is the sensor in `automation`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, select

from mlops_assets.rollout.ledger import Event
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import Database, LedgerEntry, Release


@dataclass(frozen=True)
class Seen:
    """`seq` is the rollback to train for, None for none; `cursor` goes to the next call; `said` is for a person."""

    seq: int | None
    cursor: str | None
    said: str


@dataclass(frozen=True)
class _Cursor:
    """The newest rollback that is dealt with, and when a retrain was last asked for."""

    seq: int = 0
    asked_at: datetime | None = None

    @classmethod
    def read(cls, text: str | None) -> _Cursor:
        if not text:
            return cls()
        kept = json.loads(text)
        return cls(int(kept["seq"]), datetime.fromisoformat(kept["asked_at"]) if kept["asked_at"] else None)

    def write(self) -> str:
        return json.dumps({"seq": self.seq, "asked_at": self.asked_at.isoformat() if self.asked_at else None})


def due(database: Database, product: str, policy: RolloutPolicy, cursor: str | None, now: datetime) -> Seen:
    """The newest rollback that nobody trained for yet, unless a retrain was asked for or released too recently.

    One run serves all rollbacks before it. A release made after the rollback is the answer to it already. A second
    withdrawal of the same data and code asks for nothing: a third model of them would be withdrawn as well.
    """
    before = _Cursor.read(cursor)
    rollback, release = _newest(database, product, before.seq)
    if rollback is None:
        return Seen(None, cursor, f"no rollback of {product} since decision {before.seq} asks for a retrain")
    done = _Cursor(rollback.seq, before.asked_at).write()
    what = f"decision {rollback.seq} rolled back release {rollback.details.get('withdrawn')} of {product}"
    if release is not None and release.created_at > rollback.created_at:
        return Seen(None, done, f"{what}; release {release.version} was made since")
    if _tried_before(database, product, rollback):
        return Seen(None, done, f"{what}; one of the same data and code was withdrawn before: training wouldn't help")
    since = [before.asked_at] if before.asked_at else []
    since += [release.created_at] if release is not None else []
    hours = policy.hours((now - max(since)).total_seconds()) if since else policy.retrain_cooldown_hours
    if hours < policy.retrain_cooldown_hours:
        left = policy.retrain_cooldown_hours - hours
        return Seen(None, cursor, f"{what}; waiting {left:.1f} h of the {policy.retrain_cooldown_hours:g} h cooldown")
    return Seen(rollback.seq, _Cursor(rollback.seq, now).write(), what)


def _newest(database: Database, product: str, after: int) -> tuple[LedgerEntry | None, Release | None]:
    """The newest rollback after decision `after` that asks for a retrain, and the newest published release."""
    with database.session() as session:
        rollback = session.scalar(
            select(LedgerEntry)
            .where(LedgerEntry.product == product, LedgerEntry.event == Event.ROLLED_BACK, LedgerEntry.seq > after)
            .where(LedgerEntry.details["retrain"].astext.is_distinct_from("false"))
            .order_by(LedgerEntry.seq.desc())
            .limit(1)
        )
        release = session.scalar(
            select(Release)
            .where(Release.product == product, Release.uri.is_not(None))
            .order_by(Release.version.desc())
            .limit(1)
        )
    return rollback, release


def _tried_before(database: Database, product: str, rollback: LedgerEntry) -> bool:
    """Whether an earlier rollback withdrew another release of the same data version and code."""
    with database.session() as session:
        withdrawn = select(LedgerEntry.details["withdrawn"].astext.cast(Integer)).where(
            LedgerEntry.product == product, LedgerEntry.event == Event.ROLLED_BACK, LedgerEntry.seq < rollback.seq
        )
        own = session.get(Release, (product, rollback.details.get("withdrawn") or 0))
        if own is None:
            return False
        earlier = select(Release).where(
            Release.product == product, Release.version.in_(withdrawn), Release.version != own.version
        )
        return any(_recipe(release) == _recipe(own) for release in session.scalars(earlier))


def _recipe(release: Release) -> tuple[int, str | None]:
    return release.dataset_version, (release.manifest or {}).get("code_version")
