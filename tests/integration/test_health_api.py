"""Health over HTTP: a real database, a Dagster whose daemon and fork server are away, and then are there."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import httpx
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
from fastapi import FastAPI

from mlops_assets.api.health.routes import health_routes, orchestrator_issues
from mlops_assets.api.problems import add_problem_handlers
from mlops_assets.runs.client import ForkServerClient, ForkServerUnavailableError
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.answers import problem
from tests.integration.runs_api import dagster_on
from tests.integration.serving_thread import served
from tests.servers import child_environment, free_port, process


def health_of(database: Database, settings: Settings, instance: DagsterInstance | None) -> httpx.Response:
    app = FastAPI()
    issues = orchestrator_issues(settings, lambda: instance) if instance is not None else None
    app.include_router(health_routes(database, issues))
    add_problem_handlers(app)
    with served(app) as url:
        return httpx.get(f"{url}/api/v1/health", timeout=20)


def told(database: Database, settings: Settings, instance: DagsterInstance | None) -> dict[str, Any]:
    answer = health_of(database, settings, instance)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    assert found["database_ms"] >= 0
    return found


def test_what_starts_runs_is_really_asked(database: Database, postgres_url: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.runs_socket.parent.mkdir(mode=0o700, parents=True)
    assert (told(database, settings, None)["status"], told(database, settings, None)["issues"]) == ("ok", [])
    with dagster_on(postgres_url, tmp_path / "dagster") as instance:
        instance.wipe_daemon_heartbeats()
        away = told(database, settings, instance)
        assert (away["status"], len(away["issues"])) == ("degraded", 2)
        command = [sys.executable, "-m", "mlops_assets.runs.fork_server", "--socket", str(settings.runs_socket)]
        client = ForkServerClient(str(settings.runs_socket), timeout_seconds=1)
        with process(command, tmp_path / "log", lambda: answers(client), child_environment()):
            (issue,) = told(database, settings, instance)["issues"]
            assert "daemon" in issue
            for name in instance.get_required_daemon_types():
                instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), name, "one", []))
            assert told(database, settings, instance)["status"] == "ok"


def answers(client: ForkServerClient) -> bool:
    try:
        client.status()
    except ForkServerUnavailableError:
        return False
    return True


def test_a_database_that_is_down_is_503_whatever_dagster_says(tmp_path: Path) -> None:
    nowhere = Database.connect(f"postgresql+psycopg2://someone:secret-word@127.0.0.1:{free_port()}/x")
    assert "secret-word" not in str(problem(health_of(nowhere, Settings(home=tmp_path), None), 503))
    nowhere.dispose()
