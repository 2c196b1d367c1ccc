"""Declared pipelines, notices and health, the database as a server, and the installation's programs and disk."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from sqlalchemy import text

from mlops_assets.observability.exporter.collectors import machine, notices, pipelines, programs, storage
from mlops_assets.observability.exporter.collectors.locations import loaded, started
from mlops_assets.observability.exporter.collectors.pipelines import PIPELINE_TAG
from mlops_assets.observability.exporter.collectors.source import Source
from mlops_assets.observability.exporter.metrics import METRICS
from mlops_assets.observability.supervisor_socket import SupervisorSilentError
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.exporter.made_rows import DECLARED, Rows, look
from tests.integration.pipelines.stored_pipelines import changing, created
from tests.integration.pipelines.stored_pipelines import found as stored
from tests.servers import wait_until

HOUR = 3600.0


def test_pipelines_by_state_and_their_runs(source: Source, database: Database, rows: Rows) -> None:
    from mlops_assets.pipelines import store

    first, second = created(database, "churn"), created(database, "drafted", deploy=False)
    created(database, "gone")
    with changing(database) as session:
        store.delete(session, store.find(session, "gone"))
    rows.run("__ASSET_JOB", tags=DECLARED | {PIPELINE_TAG: str(first.id)}, ended=3)
    old = {"made": 9 * HOUR, "started": 9 * HOUR, "ended": 8 * HOUR}
    rows.run("__ASSET_JOB", "FAILURE", tags=DECLARED | {PIPELINE_TAG: str(first.id)}, **old)
    for value in (str(uuid4()), "churn", "'; DROP TABLE dagster.runs; --", str(second.id).upper()):
        rows.run("__ASSET_JOB", tags={PIPELINE_TAG: value})
    looks = pipelines.collector(source)
    for _ in range(2):
        found = look(looks)
        assert found.all("mlops_pipelines") == {("active",): 1, ("paused",): 0, ("draft",): 1, ("broken",): 0}
        assert found.all("mlops_pipeline_runs_finished_total") == {
            ("churn", "SUCCESS"): 1,
            ("churn", "FAILURE"): 1,
            ("churn", "CANCELED"): 0,
        }
        last = found.all("mlops_pipeline_last_success_timestamp_seconds")
        assert last == {("churn",): pytest.approx(time.time() - 3, abs=30)}
    rows.execute("UPDATE mlops.pipeline SET load_error = 'x' WHERE id = :id", id=stored(database, "churn").id)
    assert look(looks).of("mlops_pipelines", state="broken") == 1


def test_of_many_pipelines_those_that_ran_last_are_told(source: Source, rows: Rows) -> None:
    rows.execute("""
        INSERT INTO mlops.pipeline (id, name, revision, version, active, created_by)
        SELECT gen_random_uuid(), 'made_' || lpad(n::text, 4, '0'), 1, 1, true, 'kim'
        FROM generate_series(1, 1000) AS n;
        CREATE TEMP TABLE made AS SELECT gen_random_uuid()::text AS run_id, id::text AS pipeline
        FROM mlops.pipeline ORDER BY name;
        INSERT INTO dagster.runs (run_id, pipeline_name, status, run_body, create_timestamp, start_time, end_time)
        SELECT run_id, '__ASSET_JOB', 'SUCCESS', '{}', now() - interval '2 hours', 10, 20 FROM made;
        INSERT INTO dagster.run_tags (run_id, key, value) SELECT run_id, 'mlops/pipeline', pipeline FROM made;
        DROP TABLE made""")
    found = look(pipelines.collector(source))
    told = [pipeline for (pipeline,) in found.all("mlops_pipeline_last_success_timestamp_seconds")]
    assert len(told) == METRICS["mlops_pipeline_last_success_timestamp_seconds"].most
    assert told[0] == "made_1000"
    assert min(told) > "made_0500"


def test_notices_and_the_newest_health_report(source: Source, rows: Rows) -> None:
    assert look(notices.health(source)).all("mlops_health_degraded") == {}
    rows.execute("""
        INSERT INTO mlops.notice (kind, subject, severity, title, body, key, "group", at, noted_at, outcome)
        SELECT 'run_failed', 's', 'warning', 't', 'b', 'k' || n, 'g', now(), now(), CASE WHEN n > 1 THEN 'told' END
        FROM generate_series(1, 3) AS n;
        INSERT INTO mlops.notice_delivery (notice_id, channel, state, created_at)
        SELECT id, 'mail', (ARRAY['sent', 'waiting', 'given_up'])[right(key, 1)::int], now() FROM mlops.notice;
        INSERT INTO mlops.health_report (made_at, status, report, open) VALUES
        (now() - interval '2 hours', 'healthy', '{"issues": []}', '[]'),
        (now() - interval '1 hour', 'degraded', '{"issues": [
          {"name": "job_failing", "severity": "warning"}, {"name": "job_failing", "severity": "warning"},
          {"name": "daemon_silent", "severity": "critical"}]}', '[]')""")
    told = look(notices.collector(source))
    assert told.all("mlops_notices_total") == {("run_failed", "told"): 2, ("run_failed", "undecided"): 1}
    assert told.all("mlops_notices_undelivered") == {("waiting",): 1, ("given_up",): 1}
    health = look(notices.health(source))
    assert health.all("mlops_health_degraded") == {(): 1}
    assert health.all("mlops_health_report_timestamp_seconds")[()] == pytest.approx(time.time() - HOUR, abs=30)
    assert health.all("mlops_health_issues") == {("job_failing", "warning"): 2, ("daemon_silent", "critical"): 1}


def test_a_database_without_health_reports_is_no_failure(source: Source, rows: Rows) -> None:
    rows.execute("ALTER TABLE mlops.health_report RENAME TO not_yet")
    try:
        assert look(notices.health(source)).all("mlops_health_degraded") == {}
    finally:
        rows.execute("ALTER TABLE mlops.not_yet RENAME TO health_report")


def test_the_database_as_a_server(source: Source, database: Database, rows: Rows) -> None:
    with database.engine.connect() as waiting:
        waiting.execute(text("SELECT 1"))
        time.sleep(0.3)
        found = look(storage.database(source))
    assert found.of("mlops_database_connections", state="idle_in_transaction") >= 1
    assert found.all("mlops_database_connections_limit") == {(): 200}
    assert found.all("mlops_database_oldest_transaction_seconds")[()] >= 0.3
    sizes = look(storage.sizes(source)).all("mlops_database_size_bytes")
    assert sizes.keys() >= {("mlops",), ("dagster",)}
    assert min(sizes.values()) > 100_000


def test_the_disk_and_what_is_kept_on_it(tmp_path: Path) -> None:
    (tmp_path / "storage" / "deep").mkdir(parents=True)
    (tmp_path / "storage" / "deep" / "model.onnx").write_bytes(os.urandom(300_000))
    (tmp_path / "somebody's own").mkdir()
    (tmp_path / "somebody's own" / "film").write_bytes(os.urandom(20_000))
    (tmp_path / "storage" / "round").symlink_to(tmp_path)
    found = look(storage.files(Settings(home=tmp_path)))
    areas = {area: size for (area,), size in found.all("mlops_storage_bytes").items()}
    assert areas == {"storage": pytest.approx(300_000, abs=10_000), "other": pytest.approx(20_000, abs=5_000)}
    assert 0 < found.all("mlops_disk_free_bytes")[()] < found.all("mlops_disk_size_bytes")[()]


def test_the_machine() -> None:
    found = look(machine.collector())
    assert found.all("mlops_machine_cpus")[()] == psutil.cpu_count()
    memory = found.all("mlops_machine_memory_bytes")
    assert memory["used",] + memory["available",] == memory["total",]
    assert found.of("mlops_machine_cpu_seconds_total", mode="user") > 0


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Settings]:
    """supervisord with a program that runs and has a child, one that ends at once, and one that nobody has started."""
    settings = Settings(home=tmp_path)
    settings.run_dir.mkdir(parents=True)
    binary = Path(sys.executable).parent / "supervisord"
    child = f"{sys.executable} -c 'import time; x = bytearray(60_000_000); time.sleep(300)'"
    configuration = settings.run_dir / "supervisord.conf"
    configuration.write_text(f"""\
[supervisord]
nodaemon = true
logfile = {tmp_path}/supervisord.log
pidfile = {tmp_path}/supervisord.pid
[unix_http_server]
file = {settings.run_dir}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:works]
command = /bin/sh -c "{child} & wait"
startsecs = 0
stopasgroup = true
killasgroup = true
[program:ends]
command = /bin/false
startsecs = 0
autorestart = false
[program:rests]
command = /bin/true
autostart = false
""")
    with (tmp_path / "output").open("wb") as output:
        running = subprocess.Popen([binary, "-c", str(configuration)], stdout=output, stderr=output)
    try:
        wait_until((settings.run_dir / "supervisor.sock").exists, 30, (tmp_path / "output").read_text)
        yield settings
    finally:
        running.terminate()
        running.wait(30)


def test_programs_that_run_and_that_do_not(supervised: Settings) -> None:
    looks = programs.collector(supervised)

    def settled() -> bool:
        return (look(looks).of("mlops_program_memory_bytes", program="works") or 0) > 60_000_000

    wait_until(settled, 30)
    found = look(looks)
    assert found.all("mlops_program_up") == {("works",): 1, ("ends",): 0, ("rests",): 0}
    since = found.all("mlops_program_started_timestamp_seconds")
    assert since.keys() == {("works",), ("ends",)}
    assert since["works",] == pytest.approx(time.time(), abs=120)
    assert found.all("mlops_program_cpu_seconds_total").keys() == {("works",)}


def test_a_supervisor_that_is_gone_or_hangs_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    looks = programs.collector(settings)
    assert look(looks).all("mlops_program_up") == {}, "something else keeps its programs up"
    settings.run_dir.mkdir(parents=True)
    (settings.run_dir / "supervisord.conf").touch()
    with pytest.raises(SupervisorSilentError):
        look(looks)
    monkeypatch.setattr(programs, "ANSWER_SECONDS", 0.2)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(settings.run_dir / "supervisor.sock"))
        listening.listen()
        with pytest.raises(SupervisorSilentError):
            look(looks)


def test_how_long_a_code_location_took_to_load() -> None:
    line = "\x1b[32m{} +0000\x1b[0m - dagster.code_server - INFO - {} Dagster code server for module x in process {}\n"
    log = "".join(
        line.format(at, verb, pid)
        for at, verb, pid in (
            ("2026-11-21 09:00:00", "Starting", 11),
            ("2026-11-21 09:00:03", "Started", 11),
            ("2026-11-21 09:05:00", "Starting", 12),
            ("2026-11-21 09:05:06", "Started", 12),
        )
    ).encode()
    at = datetime(2026, 11, 21, 9, 5, 6, tzinfo=UTC).timestamp()
    assert started(log, {12: at - 7.0}.get) == pytest.approx(7.5)
    # It has ended, and its number may be another process's by now.
    assert started(log, {}.get) is None
    assert started(log, {12: at + 500}.get) is None
    assert started(b"nothing of that kind\n", {}.get) is None
    ours = b"09:00:00 INFO x: 3 assets loaded in 0.21 s\n09:01:00 INFO x: 9 assets loaded in 1.04 s\n"
    assert loaded(ours) == 1.04
    assert loaded(b"") is None
