"""The shipper, killed, without a database, on a full disk, twice: nothing is lost and nothing doubled."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from inference.journal import Journal
from inference.shipping import Shipper
from inference.timed_connection import DatabaseDownError
from mlops_assets.settings import PROJECT
from mlops_assets.storage.database import Database
from tests.integration.shipped_log import (
    acknowledged_ids,
    assert_counts_match_the_rows,
    count,
    ended,
    finish,
    ids,
    rejected,
    rows,
    segments,
    shipper_on,
    start_shipper,
    start_writer,
)
from tests.journal_lines import encoded, prediction
from tests.servers import child_environment, running_postgres, wait_until


def test_a_shipper_killed_at_any_moment_loses_and_doubles_nothing(
    database: Database, postgres_url: str, root: Path, tmp_path: Path
) -> None:
    output, acknowledged = tmp_path / "shipper.log", [tmp_path / "one", tmp_path / "two"]
    draw = random.Random(7)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(ended(start_writer(root / f"homes_{n}", file, 1500)))
            for n, file in enumerate(acknowledged)
        ]
        wait_until(lambda: len(segments(root)) >= 2, 20)
        killed_at_work = 0
        for _ in range(12):
            with ended(start_shipper(postgres_url, root, output)) as running:
                begun = count(database, "prediction")
                wait_until(lambda: count(database, "prediction") > begun, 20, output.read_text)  # noqa: B023
                moment = time.monotonic() + draw.uniform(0, 0.35)
                wait_until(lambda: time.monotonic() >= moment, 1)  # noqa: B023
                assert running.poll() is None
                running.kill()
                killed_at_work += 1
        writers[0].kill()
        writers[1].terminate()
        writers[1].wait(20)
    finish(postgres_url, root, output)
    told, found = acknowledged_ids(*acknowledged), ids(database)
    assert killed_at_work == 12
    assert len(told) > 5000
    assert told <= found
    assert len(found - told) <= 1  # the killed writer's last line, appended but not told
    assert count(database, "prediction") == len(found)
    assert_counts_match_the_rows(database)
    assert rejected(root) == []


def test_a_stopped_database_delays_lines_and_loses_none(root: Path, tmp_path: Path) -> None:
    output, acknowledged = tmp_path / "shipper.log", tmp_path / "told"
    with tempfile.TemporaryDirectory(prefix="mlops-test-") as name, ExitStack() as stack:
        folder = Path(name)
        with running_postgres(folder) as url:
            database = Database.connect(url)
            database.migrate()
            writer = stack.enter_context(ended(start_writer(root / "homes", acknowledged, 1000)))
            running = stack.enter_context(ended(start_shipper(url, root, output)))
            wait_until(lambda: count(database, "prediction") > 500, 30, output.read_text)
            database.dispose()
        wait_until(lambda: status(root).get("last_error") is not None, 30, output.read_text)
        written = len(acknowledged_ids(acknowledged))
        wait_until(lambda: len(acknowledged_ids(acknowledged)) > written + 1000, 30)
        assert status(root)["backlog_bytes"] > 0
        with running_postgres(folder) as url:
            wait_until(lambda: status(root).get("last_error") is None, 30, output.read_text)
            writer.terminate()
            writer.wait(20)
            wait_until(lambda: not segments(root), 30, output.read_text)
            assert running.poll() is None
            assert ids(database) == acknowledged_ids(acknowledged)
            assert_counts_match_the_rows(database)
            database.dispose()


def status(root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((root / "status.json").read_text()))
    except FileNotFoundError:
        return {}


def test_a_frozen_server_is_given_up_and_nothing_is_doubled(
    database: Database, postgres_url: str, journal: Journal, root: Path
) -> None:
    with shipper_on(postgres_url, root, statement_seconds=0.5) as shipper:
        journal.append(encoded(prediction()))
        shipper.step()
        (backend,) = rows(database, "SELECT pid FROM pg_stat_activity WHERE application_name = 'test shipper'")
        frozen = psutil.Process(backend[0])
        frozen.suspend()
        try:
            journal.append(encoded(prediction()))
            with pytest.raises(DatabaseDownError):
                shipper.step()
        finally:
            frozen.resume()
        wait_until(lambda: not frozen.is_running(), 10)
        shipper.step()
    assert count(database, "prediction") == 2
    assert_counts_match_the_rows(database)


def test_tables_that_are_not_there_yet_are_waited_for(
    database: Database, postgres_url: str, journal: Journal, root: Path
) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA mlops CASCADE"))
    journal.append(encoded(prediction()))
    with shipper_on(postgres_url, root) as shipper:
        with pytest.raises(DatabaseDownError):
            shipper.step()
        database.migrate()
        shipper.step()
    assert count(database, "prediction") == 1
    assert rejected(root) == []


def test_a_full_disk_delays_lines_and_loses_none(
    database: Database, journal: Journal, shipper: Shipper, root: Path
) -> None:
    given = [prediction() for _ in range(30)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, before[1]))
        for record in given[:5]:
            journal.append(encoded(record))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        journal.append(encoded(*given[5:15]))
        shipper.step()
        assert journal.state().buffered_lines >= 10
        shipper.write_status(now=True)  # nor does a shipper fall over a status it can't write
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.append(encoded(*given[15:]))
    journal.close()
    while segments(root):
        shipper.step()
    assert ids(database) == {record["id"] for record in given}
    assert count(database, "prediction") == 30


def test_a_shipper_that_is_stopped_leaves_nothing_behind(
    database: Database, postgres_url: str, journal: Journal, root: Path, tmp_path: Path
) -> None:
    with ended(start_shipper(postgres_url, root, tmp_path / "shipper.log")) as running:
        journal.append(encoded(prediction()))
        wait_until(lambda: count(database, "prediction") == 1, 20)
        running.send_signal(signal.SIGSTOP)
        journal.append(encoded(prediction(), prediction()))
        running.terminate()
        running.send_signal(signal.SIGCONT)
        assert running.wait(20) == 0
    assert count(database, "prediction") == 3


def test_of_two_shippers_one_works_and_the_other_takes_over(
    database: Database, postgres_url: str, root: Path, tmp_path: Path
) -> None:
    outputs, acknowledged = [tmp_path / "first.log", tmp_path / "second.log"], tmp_path / "told"
    with ExitStack() as stack:
        writer = stack.enter_context(ended(start_writer(root / "homes", acknowledged, 1000)))
        first = stack.enter_context(ended(start_shipper(postgres_url, root, outputs[0])))
        wait_until(lambda: status(root).get("pid") == first.pid, 30, outputs[0].read_text)
        second = stack.enter_context(ended(start_shipper(postgres_url, root, outputs[1])))
        wait_until(lambda: "another shipper" in outputs[1].read_text(), 30)
        assert status(root)["pid"] == first.pid
        first.kill()
        wait_until(lambda: status(root).get("pid") == second.pid, 30, outputs[1].read_text)
        writer.terminate()
        writer.wait(20)
        wait_until(lambda: not segments(root), 30, outputs[1].read_text)
        memory = psutil.Process(second.pid).memory_info().rss
        second.terminate()
        assert second.wait(20) == 0
    assert ids(database) == acknowledged_ids(acknowledged)
    assert memory < 45e6
    assert_counts_match_the_rows(database)


def test_the_gateways_failures_become_rows_once(
    database: Database, postgres_url: str, root: Path, tmp_path: Path
) -> None:
    log, output = tmp_path / "failures.log", tmp_path / "shipper.log"
    line = {"at": "2026-11-21T06:00:00.123Z", "product": "homes", "assigned": "candidate", "rollout": "1", "step": "0"}
    line |= {"status": 503, "flags": "UF", "path": "/api/x"}
    numbers = [{"request_id": f"r{n}", **line} for n in range(5)]
    outside, odd = {"request_id": "o", **line, "rollout": "-"}, {"request_id": "q", **line, "step": str(2**40)}
    log.write_bytes(encoded(*numbers, outside, odd))
    for expected in (5, 6):
        with ended(start_shipper(postgres_url, root, output, MLOPS_SHIPPER_FAILURES_LOG=str(log))) as running:
            wait_until(lambda: count(database, "request_failure") == expected, 30, output.read_text)  # noqa: B023
            running.terminate()
            assert running.wait(20) == 0
        with log.open("ab") as file:
            file.write(encoded({"request_id": "r9", **line}))
        os.remove(tmp_path / "failures.log.offsets")
    assert rows(
        database, "SELECT DISTINCT product, assigned, rollout, step, status, flags FROM mlops.request_failure"
    ) == [("homes", "candidate", 1, 0, 503, "UF")]


def test_a_shipper_without_settings_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "inference.shipper"],
        cwd=PROJECT,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "MLOPS_SHIPPER_DATABASE_URL" in done.stderr
