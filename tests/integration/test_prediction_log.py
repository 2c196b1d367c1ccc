"""From journal lines to rows: each exactly once, whatever is killed, stopped, full or wrong on the way."""

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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from inference.journal import Journal
from inference.prediction_id import uuid7
from inference.ship_rows import OPTIONS, LogDatabase
from inference.shipping import Shipper
from inference.timed_connection import DatabaseDownError, TimedConnection
from mlops_assets.settings import PROJECT
from mlops_assets.storage.database import Database
from tests.journal_lines import encoded, feedback, prediction
from tests.servers import child_environment, running_postgres, wait_until

ROLLUPS = {
    "traffic": (
        "SELECT product, rollout, step, day, assigned, variant, version, latency_bucket, requests, anonymous, "
        "round(sum_ms::numeric, 3), first_at, last_at FROM mlops.traffic ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
        "SELECT product, rollout, step, (at AT TIME ZONE 'UTC')::date, assigned, variant, version, "
        "greatest(0, least(160, ceil(ln(greatest(latency_ms::float8, 0.05) / 0.05) / ln(1.1)))), count(*), "
        "count(*) FILTER (WHERE user_hash IS NULL), round(sum(latency_ms::float8)::numeric, 3), min(at), max(at) "
        "FROM mlops.prediction WHERE rollout IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 "
        "ORDER BY 1, 2, 3, 4, 5, 6, 7, 8",
    ),
    "exposure": (
        "SELECT product, rollout, step, user_hash, assigned FROM mlops.exposure ORDER BY 1, 2, 3, 4",
        "SELECT DISTINCT product, rollout, step, user_hash, assigned FROM mlops.prediction "
        "WHERE rollout IS NOT NULL AND user_hash IS NOT NULL AND assigned <> 'forced' ORDER BY 1, 2, 3, 4",
    ),
    "units": (
        "SELECT product, rollout, step, assigned, n FROM mlops.units ORDER BY 1, 2, 3, 4",
        "SELECT product, rollout, step, assigned, count(DISTINCT user_hash) + count(*) FILTER (WHERE user_hash IS NULL)"
        " FROM mlops.prediction WHERE rollout IS NOT NULL AND assigned <> 'forced' "
        "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    ),
    "log_hour": (
        "SELECT product, hour, predictions, feedback, max_batch FROM mlops.log_hour ORDER BY 1, 2",
        "SELECT product, date_trunc('hour', at, 'UTC'), count(*) FILTER (WHERE k), count(*) FILTER (WHERE NOT k), "
        "max(batch) FROM (SELECT product, at, batch, true AS k FROM mlops.prediction "
        "UNION ALL SELECT product, at, batch, false FROM mlops.feedback) AS rows GROUP BY 1, 2 ORDER BY 1, 2",
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(root: Path) -> Iterator[Journal]:
    opened = Journal(root / "homes_production", "homes_production")
    yield opened
    opened.close()


@contextmanager
def shipper_on(url: str, root: Path, **options: Any) -> Iterator[Shipper]:
    """A shipper in this process."""
    log = LogDatabase(TimedConnection(url, name="test shipper", options=OPTIONS, **options))
    try:
        yield Shipper(root, log)
    finally:
        log.close()


@pytest.fixture
def shipper(database: Database, postgres_url: str, root: Path) -> Iterator[Shipper]:
    with shipper_on(postgres_url, root) as made:
        yield made


def rows(database: Database, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def count(database: Database, table: str) -> int:
    return int(rows(database, f"SELECT count(*) FROM mlops.{table}")[0][0])


def rejected(root: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for p in sorted((root / "rejected").glob("*.jsonl")) for x in p.read_text().splitlines()]


def segments(root: Path) -> list[Path]:
    return [*root.glob("*/*.open"), *root.glob("*/*.closed")]


def assert_counts_match_the_rows(database: Database) -> None:
    for name, (kept, recounted) in ROLLUPS.items():
        assert rows(database, kept) == rows(database, recounted), name


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


def start_shipper(url: str, root: Path, output: Path, **more: str) -> subprocess.Popen[bytes]:
    environment = {"MLOPS_SHIPPER_DATABASE_URL": url, "MLOPS_SHIPPER_JOURNAL_DIR": str(root)} | more
    with output.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "inference.shipper"],
            cwd=PROJECT,
            env=child_environment(environment),
            stdout=file,
            stderr=file,
        )


def start_writer(folder: Path, acknowledged: Path, rate: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.journal_lines", str(folder), str(acknowledged), str(rate)]
    return subprocess.Popen(command, cwd=PROJECT, env=child_environment())


def finish(url: str, root: Path, output: Path) -> None:
    """One shipper, until nothing is left, and its clean end."""
    with ended(start_shipper(url, root, output)) as last:
        wait_until(lambda: not segments(root), 60, lambda: f"{segments(root)}\n{output.read_text()[-3000:]}")
        last.send_signal(signal.SIGTERM)
        assert last.wait(20) == 0, output.read_text()


def acknowledged_ids(*files: Path) -> set[str]:
    return {line for file in files for line in file.read_text().splitlines() if len(line) == 36}


def ids(database: Database) -> set[str]:
    return {found for (found,) in rows(database, "SELECT id::text FROM mlops.prediction")}


def test_each_line_becomes_a_row_of_its_day(database: Database, journal: Journal, shipper: Shipper, root: Path) -> None:
    given = prediction(user=None, assigned="candidate")
    journal.append(encoded(given))
    shipper.step()
    (row,) = rows(
        database,
        "SELECT id::text, product, extract(epoch FROM at), variant, version, assigned, rollout, step, user_hash, "
        "features, output, latency_ms, request_id, sample, batch > 0, tableoid::regclass::text FROM mlops.prediction",
    )
    day = datetime.fromtimestamp(given["at"], UTC)
    assert float(row[2]) == pytest.approx(given["at"], abs=1e-5)
    assert row[:2] + row[3:] == (
        *(given["id"], "homes", "production", 3, "candidate", 1, 0, None),
        *(given["features"], given["output"], pytest.approx(0.41), given["request_id"], False, True),
        f"mlops.prediction_{day:%Y%m%d}",
    )
    assert len(segments(root)) == 1  # it may still grow
    journal.close()
    shipper.step()
    assert segments(root) == []
    assert_counts_match_the_rows(database)


def test_lines_shipped_twice_count_once(
    database: Database, journal: Journal, shipper: Shipper, postgres_url: str, root: Path
) -> None:
    given = [prediction(user=f"u{n % 3}" if n % 4 else None) for n in range(40)]
    lines = encoded(*given, feedback(given[0]["id"]), given[5])
    journal.append(lines)
    shipper.step()
    with shipper_on(postgres_url, root) as other:
        other.step()
        assert (other.counts.predictions, other.counts.feedback) == (0, 0)
        journal.append(lines)
        other.step()
    assert count(database, "prediction") == 40
    assert count(database, "feedback") == 1
    assert count(database, "feedback_waiting") == 0
    assert_counts_match_the_rows(database)


def test_rows_outside_a_rollout_and_forced_ones_are_no_units(
    database: Database, journal: Journal, shipper: Shipper
) -> None:
    outside = prediction(rollout=None, step=None, assigned=None)
    forced = [prediction(assigned="forced", user="me"), prediction(assigned="forced", user=None)]
    journal.append(encoded(outside, *forced, prediction(user="me", assigned="candidate")))
    shipper.step()
    assert rows(database, "SELECT assigned, n FROM mlops.units") == [("candidate", 1)]
    assert rows(database, "SELECT assigned, sum(requests) FROM mlops.traffic GROUP BY 1 ORDER BY 1") == [
        ("candidate", 1),
        ("forced", 2),
    ]
    assert_counts_match_the_rows(database)


def test_bad_lines_hold_nothing_up_and_are_kept_with_the_reason(
    database: Database, journal: Journal, shipper: Shipper, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [prediction() for _ in range(60)]
    bad = [
        b"not json at all, but private\n",
        b"[1, 2]\n",
        b"\xff\xfe\n",
        b'{"k":"p","id":"nobody"}\n',
        b'{"k":"x"}\n',
        b"\0\0\0\n",
        encoded(prediction(product=None)),
        encoded(prediction(ms=None)),
        encoded(prediction(features=[1])),
        encoded(prediction(at=1e300)),
        encoded(prediction(version=2**40)),
        encoded(prediction(k="p")).rstrip(b"\n") + b"," + encoded(prediction()),
        encoded(feedback(good[0]["id"], type=None)),
    ]
    for number, record in enumerate(good):
        journal.append(encoded(record))
        journal.append(bad[number] if number < len(bad) else b"\n")
    shipper.step()
    assert ids(database) == {record["id"] for record in good}
    assert shipper.counts.rejected == len(rejected(root)) == len(bad)
    assert all(entry["reason"] for entry in rejected(root))
    assert "private" in rejected(root)[0]["line"]
    assert "private" not in caplog.text
    assert_counts_match_the_rows(database)


def test_characters_that_jsonb_cannot_hold_are_replaced(database: Database, journal: Journal, shipper: Shipper) -> None:
    broken = prediction(features={"town": "a\0b"})
    journal.append(encoded(prediction()) + json.dumps(broken).encode() + b"\n")
    shipper.step()
    assert shipper.counts.repaired == 1
    assert rows(database, "SELECT features FROM mlops.prediction WHERE id = :id", id=broken["id"]) == [
        ({"town": "a\ufffdb"},)
    ]


def test_feedback_is_joined_to_its_prediction(database: Database, journal: Journal, shipper: Shipper) -> None:
    given = prediction(assigned="candidate", variant="candidate", version=7, step=2)
    journal.append(encoded(given, feedback(given["id"], type="actual_price", value=61.5)))
    shipper.step()
    assert rows(
        database,
        "SELECT product, type, value, text, variant, version, assigned, rollout, step, user_hash, estimate, "
        "predicted_at = (SELECT at FROM mlops.prediction) FROM mlops.feedback",
    ) == [("homes", "actual_price", 61.5, None, "candidate", 7, "candidate", 1, 2, "u1", 55.25, True)]


def test_feedback_before_its_prediction_waits_for_it(database: Database, journal: Journal, shipper: Shipper) -> None:
    given = prediction()
    journal.append(encoded(feedback(given["id"])))
    shipper.step()
    assert (count(database, "feedback"), count(database, "feedback_waiting")) == (0, 1)
    assert shipper.counts.waiting == 1
    journal.append(encoded(given))
    shipper.step()
    assert (count(database, "feedback"), count(database, "feedback_waiting")) == (1, 0)
    assert_counts_match_the_rows(database)


def test_feedback_whose_prediction_never_comes_is_dropped_after_a_day(
    database: Database, journal: Journal, shipper: Shipper, postgres_url: str, root: Path
) -> None:
    journal.append(encoded(feedback(uuid7()), feedback(uuid7())))
    shipper.step()
    with database.engine.begin() as connection:
        old = "UPDATE mlops.feedback_waiting SET first_seen = first_seen - interval '25 hours' WHERE ctid = '(0,1)'"
        connection.execute(text(old))
    with shipper_on(postgres_url, root / "elsewhere") as other:
        other.step()
    assert count(database, "feedback_waiting") == 1


def test_feedback_for_another_product_is_refused(
    database: Database, journal: Journal, shipper: Shipper, root: Path
) -> None:
    given = prediction(product="loans")
    journal.append(encoded(given, feedback(given["id"], product="homes", text="private")))
    shipper.step()
    assert (count(database, "feedback"), count(database, "feedback_waiting")) == (0, 0)
    assert shipper.counts.refused == 1
    (entry,) = rejected(root)
    assert entry["reason"] == "feedback for a prediction of another product: loans"
    assert json.loads(entry["line"])["text"] == "private"


def test_the_last_feedback_wins_and_the_others_stay(database: Database, journal: Journal, shipper: Shipper) -> None:
    given = prediction()
    now = time.time()
    first, second = (feedback(given["id"], at=now + n, value=float(n + 1)) for n in range(2))
    journal.append(encoded(given, second, feedback(given["id"], type="comment", value=None, text="ok")))
    shipper.step()
    before = rows(database, "SELECT max(batch) FROM mlops.feedback")[0][0]
    journal.append(encoded(first))  # given earlier, shipped later
    shipper.step()
    current = "SELECT type, value FROM {} ORDER BY 1"
    assert count(database, "feedback") == 3
    assert rows(database, current.format("mlops.feedback_current")) == [("comment", None), ("rating", 2.0)]
    third = feedback(given["id"], at=now + 5, value=5.0)
    journal.append(encoded(third))
    shipper.step()
    assert rows(database, current.format("mlops.feedback_current")) == [("comment", None), ("rating", 5.0)]
    until = f"mlops.feedback_until({before})"
    assert rows(database, current.format(until)) == [("comment", None), ("rating", 2.0)]


def id_of(moment: datetime) -> str:
    """A UUIDv7 of that moment."""
    milliseconds = f"{int(moment.timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}{uuid7()[13:]}"


def test_a_clock_that_jumps_gets_a_partition_and_an_absurd_one_does_not(
    database: Database, journal: Journal, shipper: Shipper
) -> None:
    for year in (1975, 2024, 2033, 5000):
        moment = datetime(year, 3, 9, 12, tzinfo=UTC)
        journal.append(encoded(prediction(id=id_of(moment), at=moment.timestamp())))
    shipper.step()
    found = rows(
        database, "SELECT extract(year FROM at)::int, tableoid::regclass::text FROM mlops.prediction ORDER BY 1"
    )
    assert found == [
        (1975, "mlops.prediction_default"),
        (2024, "mlops.prediction_20240309"),
        (2033, "mlops.prediction_20330309"),
        (5000, "mlops.prediction_default"),
    ]
    assert_counts_match_the_rows(database)


def test_rows_that_came_before_their_partition_are_moved_to_it(
    database: Database, journal: Journal, shipper: Shipper
) -> None:
    moment = datetime(2019, 5, 6, 7, tzinfo=UTC)  # no partition is made for it by itself
    journal.append(encoded(prediction(id=id_of(moment), at=moment.timestamp())))
    shipper.step()
    with database.engine.begin() as connection:
        assert connection.execute(text("SELECT mlops.ensure_prediction_day('2019-05-06')")).scalar() is True
        assert connection.execute(text("SELECT mlops.ensure_prediction_day('2019-05-06')")).scalar() is False
    assert rows(database, "SELECT tableoid::regclass::text FROM mlops.prediction") == [("mlops.prediction_20190506",)]


def test_batches_become_visible_in_their_order(database: Database, journal: Journal, shipper: Shipper) -> None:
    for _ in range(3):
        journal.append(encoded(prediction()))
        shipper.step()
    found = rows(database, "SELECT batch FROM mlops.prediction ORDER BY id")
    assert found == sorted(set(found))
    with database.engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('mlops.prediction_log'))"))
        with shipper_on(
            connection.engine.url.render_as_string(False), Path(journal._folder).parent, statement_seconds=0.3
        ) as second:
            journal.append(encoded(prediction()))
            with pytest.raises(DatabaseDownError):
                second.step()
    shipper.step()
    assert count(database, "prediction") == 4


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
