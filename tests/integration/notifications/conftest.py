"""Notifiers on a real database with a clock of their own, and the servers that they tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from tests.integration.notifications.notified import PASSWORD, HandClock, Mailbox, Webhook, mailbox, webhook
from tests.integration.notifications.notifying import Kept, Notifying, with_production


@pytest.fixture
def clock() -> HandClock:
    return HandClock(datetime.now(UTC))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def notifying(database: Database, clock: HandClock, kept: Kept, tmp_path: Path) -> Iterator[Notifying]:
    found = Notifying(database, clock, kept, tmp_path)
    yield found
    for notifier in found.made:
        notifier.stop()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return with_production(database)


@pytest.fixture
def web() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


@pytest.fixture
def mail() -> Iterator[Mailbox]:
    with mailbox(PASSWORD) as found:
        yield found
