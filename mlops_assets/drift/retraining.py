"""Whether lasting drift asks for a new training run now, and if not, what is missing.

No loop of rollback and training can form: each request needs drift beside what serves now, the cooldown over since
the newest release, rollback and request, and labelled data that came after them. Keep out the asking itself: that is
the sensor in `automation`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from mlops_assets.drift import store
from mlops_assets.drift.facts import Status
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.store import Judged
from mlops_assets.rollout.ledger import Event, Ledger, State
from mlops_assets.storage.database import Database, LedgerEntry, Release

OLDEST_DAYS = 3  # older drift may be over
SECONDS_PER_HOUR = 3600.0

# One prediction counts once, however often its actual value is given. No more are counted than are asked for.
_LABELS = """
SELECT count(*) FROM (
  SELECT DISTINCT prediction_id FROM mlops.feedback
  WHERE product = :product AND type = 'actual_price' AND value > 0 AND at > :since LIMIT :enough
) AS labelled
"""
# A version with labels from live use is new by each label; those are counted by themselves.
_NEW_VERSION = """
SELECT max(d.version) FROM mlops.dataset_version AS d
WHERE d.product = :product AND d.version > (
    SELECT coalesce(max(dataset_version), 0) FROM mlops.release WHERE product = :product AND uri IS NOT NULL)
  AND (cast(:asked AS timestamptz) IS NULL OR d.created_at > :asked)
  AND NOT EXISTS (SELECT 1 FROM mlops.labelled_source AS l WHERE l.product = d.product AND l.version = d.version)
"""


@dataclass(frozen=True)
class Seen:
    """`run_key` names the request, None for none; `cursor` goes to the next call; `said` is for a person."""

    run_key: str | None
    cursor: str | None
    said: str


@dataclass(frozen=True)
class Situation:
    """What the database says. `days` are judged ones, newest first, at most as many as must have drifted.

    `release` is the newest one, `rolled_back_at` a rollback after it that asks for training itself. `labels` and
    `new_version` are labelled data that came after it and after the last request.
    """

    state: State
    days: tuple[Judged, ...]
    release: int
    released_at: datetime
    rolled_back_at: datetime | None = None
    labels: int = 0
    new_version: int | None = None


@dataclass(frozen=True)
class _Cursor:
    """The last request: for which day, beside which newest release, and when."""

    day: date | None = None
    release: int | None = None
    asked_at: datetime | None = None

    @classmethod
    def read(cls, kept: str | None) -> _Cursor:
        if not kept:
            return cls()
        found = json.loads(kept)
        return cls(date.fromisoformat(found["day"]), found["release"], datetime.fromisoformat(found["asked_at"]))

    @staticmethod
    def write(day: date, release: int, now: datetime) -> str:
        return json.dumps({"day": day.isoformat(), "release": release, "asked_at": now.isoformat()})


def due(
    database: Database, product: str, policy: DriftPolicy, cursor: str | None, now: datetime, trains_on_labels: bool
) -> Seen:
    """Whether to train because of drift now (UTC, aware): at most once for a judged day and newest release.

    `trains_on_labels`: actual values from live use become training rows. A training run at work is the caller's to
    look for.
    """
    found = situation(database, product, policy, cursor, trains_on_labels)
    if found is None:
        return Seen(None, cursor, f"{product} has no release yet")
    return rule(found, policy, cursor, now, trains_on_labels)


def rule(found: Situation, policy: DriftPolicy, cursor: str | None, now: datetime, trains_on_labels: bool) -> Seen:
    """What a situation asks for. Pure."""
    fleeting = _fleeting(found, policy, now)
    if fleeting is not None:
        return Seen(None, cursor, fleeting)
    product, newest, last = found.state.product, found.days[0], _Cursor.read(cursor)
    columns = ", ".join(newest.drifted)
    what = f"the last {policy.retrain_days} judged days drifted, {newest.day} in {columns or 'the data'}"
    if (last.day, last.release) == (newest.day, found.release):
        return Seen(None, cursor, f"{what}; training was asked for")
    missing = [*_waits(found, policy, last, now), *_no_data(found, policy, trains_on_labels)]
    if missing:
        return Seen(None, cursor, "; ".join([what, *missing]))
    new = f"data version V{found.new_version}" if found.new_version else f"{found.labels} actual values"
    key = f"{product}-drift-{newest.day}-{found.release}"
    said = f"{what}; {new} came after release {found.release}"
    return Seen(key, _Cursor.write(newest.day, found.release, now), said)


def _fleeting(found: Situation, policy: DriftPolicy, now: datetime) -> str | None:
    """Why there is no lasting drift of what serves now, if so. Days beside another release's data don't count."""
    production = found.state.production
    drifted = [d for d in found.days if d.status is Status.DRIFTED and d.release == production]
    if len(drifted) < policy.retrain_days:
        seen = f"{len(drifted)} of the last {policy.retrain_days} judged days"
        return f"no lasting drift: release {production} saw it on {seen}"
    age = (now.date() - found.days[0].day).days
    if age > OLDEST_DAYS:
        return f"no fresh drift: the newest judged day, {found.days[0].day}, is {age} days ago, {OLDEST_DAYS} at most"
    return None


def _waits(found: Situation, policy: DriftPolicy, last: _Cursor, now: datetime) -> Iterator[str]:
    if found.state.candidate is not None:
        yield f"candidate {found.state.candidate} is to be judged first"
    since = {f"release {found.release}": found.released_at}
    if found.rolled_back_at is not None:
        since["the rollback, which asks for training itself"] = found.rolled_back_at
    if last.asked_at is not None:
        since["the last request"] = last.asked_at
    after = max(since, key=lambda name: since[name])
    left = policy.retrain_cooldown_hours - (now - since[after]).total_seconds() / SECONDS_PER_HOUR
    if left > 0:
        yield f"waiting {left:.1f} h of the {policy.retrain_cooldown_hours:g} h cooldown since {after}"


def _no_data(found: Situation, policy: DriftPolicy, trains_on_labels: bool) -> Iterator[str]:
    if found.new_version is not None or found.labels >= policy.retrain_labels:
        return
    labels = f"{found.labels} of {policy.retrain_labels} actual values" if trains_on_labels else "no data version"
    yield f"no new labelled data to learn from: {labels} since release {found.release} or the last request"


def situation(
    database: Database, product: str, policy: DriftPolicy, cursor: str | None, trains_on_labels: bool
) -> Situation | None:
    """What the database says of a product; None before its first release. Data is counted only if days drifted."""
    state = Ledger(database).state(product)
    days = tuple(store.judged(database, product, policy.retrain_days))
    with database.session() as session:
        published = (Release.product == product) & Release.uri.is_not(None)
        newest = session.scalar(select(Release).where(published).order_by(Release.version.desc()).limit(1))
        if newest is None or state.production is None:
            return None
        found = Situation(state, days, newest.version, newest.created_at)
        if not all(day.status is Status.DRIFTED for day in days):
            return found
        asked_at = _Cursor.read(cursor).asked_at
        since = max(newest.created_at, asked_at) if asked_at else newest.created_at
        labels = {"product": product, "since": since, "enough": policy.retrain_labels}
        return replace(
            found,
            rolled_back_at=_rolled_back_at(session, product, newest.created_at),
            labels=session.scalar(text(_LABELS), labels) if trains_on_labels else 0,
            new_version=session.scalar(text(_NEW_VERSION), {"product": product, "asked": asked_at}),
        )


def _rolled_back_at(session: Session, product: str, after: datetime) -> datetime | None:
    """When the newest rollback after that time was that asks for training, as `rollout.retraining` reads it."""
    at, asks = LedgerEntry.created_at, LedgerEntry.details["retrain"].astext.is_distinct_from("false")
    rollbacks = (LedgerEntry.product == product) & (LedgerEntry.event == Event.ROLLED_BACK)
    return session.scalar(select(func.max(at)).where(rollbacks, asks, at > after))
