"""The database moves to its standby in the middle of decisions and of the log: what was acknowledged is there, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from inference.journal import Journal
from inference.timed_connection import DatabaseDownError
from mlops_assets.rollout.ledger import Ledger, LedgerError
from mlops_assets.storage import rights
from mlops_assets.storage.database import Database, DatasetVersion
from tests.integration.own_postgres import OwnPostgres, running_own_postgres, running_standby
from tests.integration.shipped_log import count, shipper_on
from tests.journal_lines import encoded, prediction
from tests.servers import wait_until

PRODUCT = "homes"


@dataclass
class Pair:
    """A server and its standby, which are one address."""

    primary: OwnPostgres
    standby: OwnPostgres

    def url(self, role: str) -> str:
        """Of whichever takes writes."""
        account, _, rest = self.primary.url(role).partition("@")
        _, _, wanted = rest.partition("/")
        hosts, ports = zip(*((one.address, str(one.port)) for one in (self.primary, self.standby)), strict=True)
        return f"{account}@/{wanted}&host={','.join(hosts)}&port={','.join(ports)}&target_session_attrs=read-write"

    def fail_over(self) -> None:
        self.primary.crash()
        self.standby.run("SELECT pg_promote()")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        primary = stack.enter_context(running_own_postgres(tmp_path / "one"))
        primary.make_roles()
        standby = stack.enter_context(running_standby(primary, tmp_path / "other"))
        streams = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: primary.run(streams) != [], 30, (tmp_path / "other" / "postgres.log").read_text)
        # From here on a commit is told only when the standby has it, too.
        primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.run("SELECT pg_reload_conf()")
        yield Pair(primary, standby)


@dataclass
class Decisions:
    """Promotions of one release and the other in turn, by a person who tries again; which were acknowledged."""

    ledger: Ledger
    acknowledged: list[int] = field(default_factory=list)
    troubles: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Decisions:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                target = 2 if self.ledger.state(PRODUCT).production == 1 else 1
                self.acknowledged.append(self.ledger.promote(PRODUCT, "kim", "turn", version=target).seq)
            except (SQLAlchemyError, LedgerError):
                self.troubles += 1
                self._stop.wait(0.1)

    def more(self, number: int) -> None:
        wanted = len(self.acknowledged) + number
        wait_until(lambda: len(self.acknowledged) >= wanted, 60, lambda: f"{len(self.acknowledged)} of {wanted}")


@pytest.fixture
def database(pair: Pair) -> Iterator[Database]:
    found = Database.connect(pair.url(rights.OWNER))
    found.migrate()
    with found.session() as session, session.begin():
        session.add(
            DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
        )
    ledger = Ledger(found)
    for number in (1, 2):
        ledger.reserve(PRODUCT, f"run-{number}", 1)
        ledger.publish(PRODUCT, number, f"/releases/{number}", {}, "test")
    yield found
    found.dispose()


def test_no_acknowledged_decision_is_lost_or_made_twice(pair: Pair, database: Database) -> None:
    ledger = Ledger(database)
    with Decisions(ledger) as decisions:
        decisions.more(20)
        pair.fail_over()
        decisions.more(20)
    seqs = sorted(entry.seq for entry in ledger.history(PRODUCT, limit=100_000))
    assert seqs == list(range(1, len(seqs) + 1))
    assert set(decisions.acknowledged) <= set(seqs)
    assert len(set(decisions.acknowledged)) == len(decisions.acknowledged)
    # Whatever was under way is there or isn't: at most one decision for each time that nobody answered.
    made = [entry for entry in ledger.history(PRODUCT, limit=100_000) if entry.reason == "turn"]
    assert len(decisions.acknowledged) <= len(made) <= len(decisions.acknowledged) + decisions.troubles


def test_no_logged_answer_is_lost_or_doubled(pair: Pair, database: Database, tmp_path: Path) -> None:
    with database.engine.begin() as connection:
        rights.grant(connection)
    root = tmp_path / "journal"
    journal = Journal(root / "homes_production", "homes_production")
    lines: list[dict[str, Any]] = [prediction() for _ in range(300)]
    with shipper_on(pair.url(rights.SERVING), root) as shipper:
        for number, line in enumerate(lines):
            journal.append(encoded(line))
            if number == 150:
                pair.fail_over()
            if number % 10 == 0:
                attempt(shipper)
        journal.close()
        wait_until(lambda: attempt(shipper) and count(database, "prediction") == len(lines), 60)


def attempt(shipper: Any) -> bool:
    """One step; whether the database took it."""
    try:
        shipper.step()
    except DatabaseDownError:
        return False
    return True
