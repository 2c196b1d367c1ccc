"""What Dagster's real webserver answers: code locations, a broken one among them, and when schedules are due."""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import httpx
import pytest
from dagster._daemon.types import DaemonHeartbeat

from mlops_assets.observability.exporter.collectors import daemons, locations, schedules
from mlops_assets.observability.exporter.collectors.source import Source, Webserver, WebserverError
from mlops_assets.settings import Settings
from tests.integration.exporter.made_rows import Rows, in_schema, look
from tests.integration.platform_tables import PlatformTables
from tests.servers import free_port, process

HOUR = 3600.0
# As an installation says it: without this, Dagster's webserver and daemon take the files below `logs` away to send them
# to their maker, also when the instance's configuration turns telemetry off.
QUIET = {"DAGSTER_DISABLE_TELEMETRY": "1"}
GOOD = """
import dagster as dg

@dg.op
def work(): ...

@dg.job
def made(): work()

hourly = dg.ScheduleDefinition(name="hourly", job=made, cron_schedule="0 * * * *", execution_timezone="Asia/Kolkata")
daily = dg.ScheduleDefinition(name="daily", job=made, cron_schedule="0 3 * * *")
defs = dg.Definitions(jobs=[made], schedules=[hourly, daily])
"""
WORKSPACE = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(home=tmp_path)
    found.logs.mkdir()
    return found


@pytest.fixture
def code_port(settings: Settings) -> Iterator[int]:
    """Dagster's code server of the products, with its log where an installation has it."""
    (settings.home / "good.py").write_text(GOOD)
    port = free_port()
    command = [sys.executable, "-m", "dagster", "api", "grpc", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--python-file", str(settings.home / "good.py"), "--location-name", "products"]

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with process(command, settings.logs / "code.log", listens, QUIET | {"DAGSTER_HOME": str(settings.home)}):
        yield port


@pytest.fixture
def webserver(empty_tables: PlatformTables, rows: Rows, settings: Settings, code_port: int) -> Iterator[Webserver]:
    """Dagster's webserver with that location and one where nobody listens."""
    home = settings.home
    ports = {"products": code_port, "broken": free_port()}
    entries = [f"  - grpc_server: {{host: 127.0.0.1, port: {p}, location_name: {n}}}\n" for n, p in ports.items()]
    (home / "workspace.yaml").write_text(f"load_from:\n{''.join(entries)}")
    storage = f'{{postgres: {{postgres_url: "{in_schema(empty_tables.url, "dagster")}"}}}}'
    (home / "dagster.yaml").write_text(f"storage: {storage}\ntelemetry: {{enabled: false}}\n")
    port = free_port()
    address = f"http://127.0.0.1:{port}"

    def loaded() -> bool:
        try:
            answer = httpx.post(f"{address}/graphql", json={"query": WORKSPACE}, timeout=10).json()
        except httpx.HTTPError:
            return False
        entries = answer["data"]["workspaceOrError"]["locationEntries"]
        return [entry["loadStatus"] for entry in entries] == ["LOADED", "LOADED"]

    binary = str(Path(sys.executable).parent / "dagster-webserver")
    command = [binary, "-h", "127.0.0.1", "-p", str(port), "-w", str(home / "workspace.yaml")]
    with process(command, home / "webserver.log", loaded, QUIET | {"DAGSTER_HOME": str(home)}):
        found = Webserver(address)
        yield found
        found.close()


def test_locations_and_schedules(webserver: Webserver, source: Source, rows: Rows, settings: Settings) -> None:
    found = look(locations.collector(webserver, settings))
    assert found.all("mlops_code_location_up") == {("products",): 1, ("broken",): 0}
    seconds = found.all("mlops_code_location_load_seconds")
    assert seconds.keys() == {("products",)}
    assert 0 < seconds["products",] < 60
    now = time.time()
    ticked = math.floor((now - 3 * HOUR) / HOUR) * HOUR + HOUR / 2
    for name, location in (("hourly", "products"), ("daily", "products"), ("gone", "products"), ("lost", "broken")):
        rows.instigator(name, "SCHEDULE", location=location, started=ticked)
    late = look(schedules.collector(source, webserver)).all("mlops_schedule_overdue_seconds")
    # Full hours in Kolkata are half past in UTC: `ticked` was one itself, the next one came an hour later.
    assert late["hourly",] == pytest.approx(now - ticked - HOUR, abs=60)
    assert late.keys() == {("hourly",), ("daily",)}


def test_only_daemons_that_the_instance_needs_are_told_of(
    webserver: Webserver, source: Source, instance: dg.DagsterInstance
) -> None:
    # The instance of the webserver has no automatic retries of runs.
    for name, ago in (("SENSOR", 5), ("EVENT_LOG_CONSUMER", 86_400)):
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - ago, name, "an id", []))
    found = look(daemons.collector(source, webserver))
    assert found.all("mlops_daemon_heartbeat_age_seconds").keys() == {("SENSOR",)}


def test_a_webserver_that_is_no_dagster_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(WebserverError, match=r"^ConnectError$"):
        look(locations.collector(Webserver("http://127.0.0.1:1"), Settings(home=tmp_path)))
