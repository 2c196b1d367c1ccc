"""Notifiers on a real database, for tests: a clock that is set by hand, and a receiver that keeps what is sent."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from mlops_assets.notifications import outbox
from mlops_assets.notifications.channels import Channel
from mlops_assets.notifications.message import Message
from mlops_assets.notifications.notifier import Notifier
from mlops_assets.notifications.sender import Outcome
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion, DriftVerdict
from tests.integration.notifications.notified import HandClock

PRODUCT = "homes"
ONE = "json://host/one"


class Kept:
    """Keeps what is sent, by channel; a channel in `failing` takes nothing."""

    def __init__(self) -> None:
        self.sent: dict[str, list[Message]] = {}
        self.failing: set[str] = set()

    def __call__(self, channel: Channel, message: Message) -> Outcome:
        if channel.name in self.failing:
            return Outcome(False, "HTTP 500")
        self.sent.setdefault(channel.name, []).append(message)
        return Outcome(True)

    @property
    def titles(self) -> list[str]:
        return [message.title for messages in self.sent.values() for message in messages]


class Notifying:
    """Notifiers on one database, one clock, one receiver."""

    def __init__(self, database: Database, clock: HandClock, kept: Kept, home: Path) -> None:
        self.database, self.clock, self.kept, self.home = database, clock, kept, home
        self.made: list[Notifier] = []

    def start(self, urls: str = ONE, **more: Any) -> Notifier:
        settings = Settings(home=self.home, notify_urls=urls)
        self.made.append(Notifier(settings, self.database, send=self.kept, now=self.clock, **more))
        return self.made[-1]

    def pass_by(self, notifier: Notifier, seconds: float = 6) -> None:
        """Time goes by, with a step before and one after it, and all that is sent has arrived."""
        notifier.step()
        self.clock.forward(seconds)
        notifier.step()
        notifier.delivery.wait(20)

    def note(self, *notices: Any) -> None:
        with self.database.session() as session, session.begin():
            outbox.add(session, notices, self.clock())

    def rows(self, table: Any) -> list[Any]:
        with self.database.session() as session:
            return list(session.execute(select(table).order_by(*table.primary_key)))


def with_production(database: Database, product: str = PRODUCT) -> Ledger:
    """Production 1 of a product, nothing else."""
    with database.session() as session, session.begin():
        session.add(
            DatasetVersion(product=product, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    found = Ledger(database)
    release(found, product)
    return found


def release(ledger: Ledger, product: str = PRODUCT) -> int:
    """One more release; its number."""
    version = ledger.reserve(product, f"run{len(ledger.history(product))}", 1)
    ledger.publish(product, version, f"/releases/{version}", {}, "platform")
    return version


def drifted(database: Database, day: date, at: datetime, status: str = "drifted") -> None:
    """A day's verdict, computed at a moment."""
    verdict = {"columns": [{"name": "size", "status": status, "strength": 2.0, "reasons": ["mean 3 → 4"]}]}
    with database.session() as session, session.begin():
        row = DriftVerdict(
            product=PRODUCT, day=day, release=1, status=status, strength=2.0, drifted=["size"], verdict=verdict
        )
        row.computed_at = at
        session.merge(row)
