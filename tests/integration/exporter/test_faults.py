"""Looks and scrapes while the database is away, comes late, hangs or is locked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from mlops_assets.observability.exporter.collectors import source
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.exporter.exporting import Exporter, quick
from tests.integration.exporter.made_rows import Rows
from tests.integration.platform_tables import PlatformTables
from tests.servers import running_postgres, wait_until

# Those that need nothing but the server and our own tables.
ASKED = ("database", "rollouts", "notices")
LIMIT = ("mlops_database_connections_limit",)


def all_are(exporter: Exporter, success: int) -> Callable[[], bool]:
    """Whether the newest looks worked, or all failed."""
    return lambda: all(exporter.success(name) == success for name in ASKED)


def looked(exporter: Exporter, collector: str) -> float:
    """When a collector's newest look that worked was."""
    return exporter.samples()["mlops_collector_last_success_timestamp_seconds", collector]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a server of this test alone, with our tables."""
    found = tmp_path / "server"
    with running_postgres(found) as url:
        database = Database.connect(url)
        database.migrate()
        database.dispose()
    return found


@pytest.fixture
def exporter(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Exporter]:
    """Started while that server is down."""
    with quick(Settings(home=folder).database, tmp_path / "home", caplog) as found:
        yield found


def test_a_database_that_comes_late_goes_and_comes_back(exporter: Exporter, folder: Path) -> None:
    samples = exporter.samples()
    assert samples["mlops_collector_success", "machine"] == 1
    assert samples["mlops_collector_success", "database"] == 0
    assert LIMIT not in samples
    for _ in range(2):
        with running_postgres(folder):
            wait_until(all_are(exporter, 1), 60)
        wait_until(all_are(exporter, 0), 60)
        samples = exporter.samples()
        assert samples["mlops_collector_success", "machine"] == 1
        # What was found before stays.
        assert LIMIT in samples
    assert str(folder) not in exporter.log() + exporter.get().text


def test_a_database_that_is_frozen_holds_no_scrape_up(exporter: Exporter, folder: Path) -> None:
    with running_postgres(folder):
        wait_until(all_are(exporter, 1), 60)
        server = psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))
        frozen = [server, *server.children(recursive=True)]
        for one in frozen:
            os.kill(one.pid, signal.SIGSTOP)
        try:
            before = looked(exporter, "machine")
            wait_until(lambda: looked(exporter, "machine") > before, 40)
            assert LIMIT in exporter.samples()
        finally:
            for one in frozen:
                os.kill(one.pid, signal.SIGCONT)
        before = looked(exporter, "database")
        wait_until(lambda: looked(exporter, "database") > before, 40)


def test_a_locked_table_fails_one_collector_and_nothing_else(
    empty_tables: PlatformTables,
    database: Database,
    rows: Rows,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(source.OPTIONS, "lock_timeout", "100")
    rows.heartbeat("SENSOR", ago=3)
    with quick(empty_tables.url, tmp_path / "home", caplog) as exporter:
        wait_until(lambda: exporter.success("daemons") == 1, 40)
        with database.engine.connect() as locking, locking.begin():
            locking.execute(text("LOCK TABLE dagster.daemon_heartbeats IN ACCESS EXCLUSIVE MODE"))
            wait_until(lambda: exporter.success("daemons") == 0, 40)
            before = looked(exporter, "runs")
            wait_until(lambda: looked(exporter, "runs") > before, 40)
            assert ("mlops_daemon_heartbeat_age_seconds", "SENSOR") in exporter.samples()
        wait_until(lambda: exporter.success("daemons") == 1, 40)


def test_a_statement_that_takes_too_long_is_given_up(
    empty_tables: PlatformTables,
    rows: Rows,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(source.OPTIONS, "statement_timeout", "200")
    rows.execute("""
        INSERT INTO mlops.notice (kind, subject, severity, title, body, key, "group", at, noted_at)
        VALUES ('run_failed', 's', 'warning', 't', 'b', 'k', 'g', now(), now())""")
    rows.execute("""
        ALTER TABLE mlops.notice RENAME TO kept;
        CREATE VIEW mlops.notice AS SELECT kept.* FROM mlops.kept WHERE pg_sleep(30) IS NOT NULL""")
    try:
        with quick(empty_tables.url, tmp_path / "home", caplog) as exporter:
            wait_until(lambda: exporter.success("notices") == 0, 40)
            wait_until(lambda: exporter.success("database") == 1, 40)
        assert "notices can't be looked at (OperationalError)" in exporter.log()
    finally:
        rows.execute("DROP VIEW mlops.notice; ALTER TABLE mlops.kept RENAME TO notice")
