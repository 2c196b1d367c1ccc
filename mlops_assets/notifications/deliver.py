"""Delivers what waits for each channel, again and again until it is taken, at most a day.

Everything that waits for a channel goes out as one message. A channel that fails is left alone for longer and
longer; one that hangs delays no other. Killed between sending and marking, a message is sent a second time: the only
way in which anything is told twice. Keep out what is told (`telling`) and how it is sent (`sender`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.notifications import outbox
from mlops_assets.notifications.channels import Channel
from mlops_assets.notifications.clock import Clock
from mlops_assets.notifications.message import compose
from mlops_assets.notifications.notice import Notice
from mlops_assets.notifications.sender import SEND_SECONDS, Outcome, Send
from mlops_assets.notifications.tables import CHANNEL, DELIVERY, NOTICE
from mlops_assets.storage.database import Database

FIRST_RETRY_SECONDS = 30.0
LONGEST_RETRY_SECONDS = 3600.0
GIVE_UP_SECONDS = 86_400.0
# Longer than a send can last: whoever claimed the channel and never told is gone.
CLAIM_SECONDS = 2 * SEND_SECONDS
MOST_AT_ONCE = 500
MOST_THREADS = 16

log = logging.getLogger(__name__)


def retry_after(tries: int) -> float:
    """Seconds until the next try after `tries` failures in a row, at least one: 30, 60, 120, … 3600."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(tries - 1, 20), LONGEST_RETRY_SECONDS)


class Delivery:
    """Sends what waits, each channel in a thread of its own. Several at once, anywhere, share the work."""

    def __init__(self, database: Database, send: Send, now: Clock) -> None:
        self._database = database
        self._send = send
        self._now = now
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="notify")
        self._sending: dict[str, Future[None]] = {}

    def start(self, channels: Sequence[Channel]) -> None:
        """Begin to send to every channel that something waits for and that may be tried. Raises SQLAlchemyError."""
        self._give_up()
        self._sending = {name: future for name, future in self._sending.items() if not future.done()}
        waiting = self._waiting_channels()
        for channel in channels:
            if channel.name in waiting and channel.name not in self._sending:
                self._sending[channel.name] = self._pool.submit(self._deliver, channel)

    def wait(self, seconds: float) -> None:
        """Wait until what was begun is done, or `seconds`."""
        wait(self._sending.values(), timeout=seconds)

    def send_now(self, channels: Sequence[Channel], notice: Notice) -> bool:
        """Send a notice that isn't in the database, to all channels at once; whether any took it."""
        sending = {channel.name: self._pool.submit(self._hand_over, channel, [notice]) for channel in channels}
        wait(sending.values(), timeout=CLAIM_SECONDS)
        outcomes = {name: future.result() for name, future in sending.items() if future.done()}
        for name, outcome in outcomes.items():
            if not outcome.sent:
                log.warning("channel %s: %s", name, outcome.error)
        return any(outcome.sent for outcome in outcomes.values())

    def stop(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _give_up(self) -> None:
        """Leave what nobody took for a day."""
        now = self._now()
        old = DELIVERY.c.created_at < now - timedelta(seconds=GIVE_UP_SECONDS)
        with self._database.session() as session, session.begin():
            late = update(DELIVERY).where(DELIVERY.c.state == "waiting", old)
            session.execute(late.values(state="given_up", settled_at=now))

    def _waiting_channels(self) -> set[str]:
        now = self._now()
        asked = select(DELIVERY.c.channel).where(DELIVERY.c.state == "waiting").distinct()
        asked = asked.outerjoin(CHANNEL, CHANNEL.c.name == DELIVERY.c.channel)
        free = or_(CHANNEL.c.busy_until.is_(None), CHANNEL.c.busy_until < now)
        due = or_(CHANNEL.c.next_try.is_(None), CHANNEL.c.next_try <= now)
        with self._database.session() as session:
            return set(session.scalars(asked.where(free, due)))

    def _deliver(self, channel: Channel) -> None:
        """Claim the channel, send all that waits for it, mark what became of it."""
        try:
            claimed = self._claim(channel.name)
            if not claimed:
                return
            outcome = self._hand_over(channel, [notice for _, notice in claimed])
            self._mark(channel, [delivery for delivery, _ in claimed], outcome)
        except SQLAlchemyError as error:
            # It waits, or is claimed until the claim is over, and is then tried again.
            log.warning("channel %s: the database can't be reached: %s", channel.name, type(error).__name__)
        except Exception as error:  # noqa: BLE001 (its text may hold the address)
            log.error("channel %s: %s while delivering", channel.name, type(error).__name__)

    def _hand_over(self, channel: Channel, notices: Sequence[Notice]) -> Outcome:
        try:
            return self._send(channel, compose(notices))
        except Exception as error:  # noqa: BLE001 (whatever a sender raises is a failed delivery)
            return Outcome(False, channel.hide(f"{type(error).__name__}: {error}")[:300])

    def _claim(self, name: str) -> list[tuple[int, Notice]]:
        """What waits for the channel, oldest first, if nobody else is at it: (delivery, notice)."""
        now = self._now()
        with self._database.session() as session, session.begin():
            session.execute(insert(CHANNEL).values(name=name, tries=0).on_conflict_do_nothing())
            row = session.execute(select(CHANNEL).where(CHANNEL.c.name == name).with_for_update()).one()
            if (row.busy_until is not None and row.busy_until >= now) or (row.next_try or now) > now:
                return []
            waiting = select(DELIVERY.c.id.label("delivery"), NOTICE).join(NOTICE, NOTICE.c.id == DELIVERY.c.notice_id)
            waiting = waiting.where(DELIVERY.c.channel == name, DELIVERY.c.state == "waiting")
            rows = session.execute(waiting.order_by(DELIVERY.c.id).limit(MOST_AT_ONCE)).all()
            if rows:
                until = now + timedelta(seconds=CLAIM_SECONDS)
                session.execute(update(CHANNEL).where(CHANNEL.c.name == name).values(busy_until=until))
            return [(row.delivery, outbox.notice_of(row)) for row in rows]

    def _mark(self, channel: Channel, deliveries: Sequence[int], outcome: Outcome) -> None:
        """Note what became of a message, and when the channel may be tried again."""
        now = self._now()
        with self._database.session() as session, session.begin():
            of_channel = CHANNEL.c.name == channel.name
            row = session.execute(select(CHANNEL).where(of_channel).with_for_update()).one()
            values: dict[str, Any] = {"busy_until": None}
            seconds = retry_after(row.tries + 1)
            if outcome.sent:
                state = {"state": "sent", "settled_at": now, "message": uuid.uuid4().hex}
                session.execute(update(DELIVERY).where(DELIVERY.c.id.in_(deliveries)).values(state))
                values |= {"tries": 0, "failing_since": None, "next_try": None, "last_error": None, "last_sent": now}
            elif not outcome.stopped:
                values |= {"tries": row.tries + 1, "next_try": now + timedelta(seconds=seconds)}
                values |= {"failing_since": row.failing_since or now, "last_error": outcome.error}
            session.execute(update(CHANNEL).where(of_channel).values(values))
        if outcome.sent and row.failing_since is not None:
            log.info("channel %s takes messages again", channel.name)
        elif not outcome.sent and not outcome.stopped:
            log.warning("channel %s: %s; trying again in %.0f s", channel.name, outcome.error, seconds)
