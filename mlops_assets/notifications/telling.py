"""Decides for every noted fact whether it is told or counted, and for which channels it then waits.

Each call is one transaction, so a kill leaves either all of it or nothing. Keep out the rule itself (`grouping`)
and the sending (`deliver`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from mlops_assets.notifications import grouping, outbox
from mlops_assets.notifications.channels import Channel
from mlops_assets.notifications.notice import Notice, Severity, moment
from mlops_assets.notifications.tables import DELIVERY, GROUP, NOTICE
from mlops_assets.storage.database import Database

# Simultaneous facts wait this long for each other, to be one message.
GATHER_SECONDS = 5.0
MOST_AT_ONCE = 1000


def decide(database: Database, channels: Sequence[Channel], now: datetime, cooldown_seconds: float) -> None:
    """Close groups whose cooldown is over, then tell or count what was noted since. Raises SQLAlchemyError."""
    with database.session() as session, session.begin():
        outbox.lock(session)
        _close_groups(session, channels, now, cooldown_seconds)
        oldest = session.scalar(select(func.min(NOTICE.c.noted_at)).where(NOTICE.c.outcome.is_(None)))
        if oldest is not None and now - oldest >= timedelta(seconds=GATHER_SECONDS):
            _take_up(session, channels, now, cooldown_seconds)


def _take_up(session: Session, channels: Sequence[Channel], now: datetime, cooldown_seconds: float) -> None:
    """Tell or count every notice that nothing was decided about."""
    open_ones = select(NOTICE).where(NOTICE.c.outcome.is_(None)).order_by(NOTICE.c.id).limit(MOST_AT_ONCE)
    rows = session.execute(open_ones).all()
    named = session.execute(select(GROUP).where(GROUP.c.name.in_({row.group for row in rows})))
    groups = {row.name: _group(row) for row in named}
    told: list[tuple[int, Notice]] = []
    for row in rows:
        notice = outbox.notice_of(row)
        cooldown = grouping.cooldown_of(notice.kind, cooldown_seconds)
        groups[notice.group], news = grouping.arrive(
            groups.get(notice.group), notice.group, row.id, notice.severity, notice.at, now, cooldown
        )
        if news:
            told.append((row.id, notice))
    news_ids = {notice_id for notice_id, _ in told}
    _settle(session, news_ids, "told")
    _settle(session, {row.id for row in rows} - news_ids, "counted")
    _wait(session, told, channels, now)
    _keep(session, [groups[name] for name in sorted({row.group for row in rows})])


def _close_groups(session: Session, channels: Sequence[Channel], now: datetime, cooldown_seconds: float) -> None:
    """Summarize what was counted in cooldowns that are over, and forget the groups that were quiet."""
    for row in session.execute(select(GROUP).where(GROUP.c.until <= now).order_by(GROUP.c.name)).all():
        group = _group(row)
        last = outbox.notice_of(session.execute(select(NOTICE).where(NOTICE.c.id == group.last_id)).one())
        after = grouping.close(group, now, grouping.cooldown_of(last.kind, cooldown_seconds))
        if after is None:
            session.execute(delete(GROUP).where(GROUP.c.name == group.name))
            continue
        told = summary(last, group, now)
        outbox.add(session, [told], now)
        summary_id = session.scalars(select(NOTICE.c.id).where(NOTICE.c.key == told.key)).one()
        _settle(session, {summary_id}, "summary")
        _wait(session, [(summary_id, told)], channels, now)
        _keep(session, [after])


def summary(last: Notice, group: grouping.Group, now: datetime) -> Notice:
    """What is told of the repeats that were only counted; `last` is the newest of them."""
    times = f"{group.counted} more {'time' if group.counted == 1 else 'times'}"
    return replace(
        last,
        title=f"{last.title} ({times})",
        body=f"{times} since {moment(group.since)}; the last at {moment(group.last_at)}:\n{last.body}",
        key=f"summary:{group.name}:{group.since.isoformat()}",
        at=now,
    )


def _settle(session: Session, notice_ids: Iterable[int], outcome: str) -> None:
    session.execute(update(NOTICE).where(NOTICE.c.id.in_(notice_ids)).values(outcome=outcome))


def _wait(session: Session, told: Iterable[tuple[int, Notice]], channels: Sequence[Channel], now: datetime) -> None:
    """Let each notice wait for every channel that wants it."""
    rows = [
        {"notice_id": notice_id, "channel": channel.name, "state": "waiting", "created_at": now}
        for notice_id, notice in told
        for channel in channels
        if channel.wants(notice)
    ]
    if rows:
        session.execute(insert(DELIVERY).on_conflict_do_nothing(), rows)


def _group(row: Row[Any]) -> grouping.Group:
    return grouping.Group(**{**row._mapping, "severity": Severity(row.severity)})


def _keep(session: Session, groups: Iterable[grouping.Group]) -> None:
    kept = insert(GROUP)
    named = kept.excluded
    changed = {column.name: named[column.name] for column in GROUP.columns if not column.primary_key}
    rows = [asdict(group) for group in groups]
    if rows:
        session.execute(kept.on_conflict_do_update(index_elements=["name"], set_=changed), rows)
