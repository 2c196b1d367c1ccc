"""Dagster's webserver and MLflow as an installation runs them, behind the guard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from mlops_assets.installation import secret_files
from mlops_assets.installation.programs import platform_programs
from mlops_assets.installation.up import is_ready
from mlops_assets.settings import Settings
from tests.e2e.installation import free_offset
from tests.servers import process, running_webserver

JOBS = """
import dagster as dg

@dg.asset
def table() -> int:
    return 1

@dg.op
def nothing(): ...

@dg.job
def hourly():
    nothing()

@dg.sensor(job=hourly)
def looks(context): ...

each_hour = dg.ScheduleDefinition(job=hourly, cron_schedule="0 * * * *")
defs = dg.Definitions(assets=[table], jobs=[hourly], sensors=[looks], schedules=[each_hour])
"""


@pytest.fixture(scope="package")
def settings(postgres_url: str) -> Iterator[Settings]:
    """An installation of which nothing runs yet."""
    with tempfile.TemporaryDirectory(prefix="inside-") as folder:
        home = Path(folder)
        made = Settings(home=home, port_offset=free_offset(home), database_url=postgres_url)
        made.logs.mkdir()
        secret_files.prepare(made.secrets)
        yield made


@pytest.fixture(scope="package")
def webserver(settings: Settings) -> Iterator[str]:
    """Address of Dagster's webserver, with its path."""
    (settings.home / "jobs.py").write_text(JOBS)
    workspace = settings.home / "workspace.yaml"
    workspace.write_text("load_from:\n  - python_file: {relative_path: jobs.py, location_name: jobs}\n")
    dagster_home = settings.home / "dagster"
    dagster_home.mkdir()
    # Else its pages take a script from its maker.
    (dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    with running_webserver(settings, workspace, {"DAGSTER_HOME": str(dagster_home)}) as url:
        yield url


@pytest.fixture(scope="package")
def mlflow(settings: Settings, postgres_url: str) -> Iterator[str]:
    """Address of MLflow's server."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS mlflow"))
    engine.dispose()
    program = next(p for p in platform_programs(settings) if p.name == "mlflow")
    given = settings.environment() | program.environment
    with process(program.command, settings.logs / "mlflow.log", lambda: is_ready(settings, program), given):
        yield settings.mlflow_server_url


def refused(answer: httpx.Response, door: str) -> None:
    """The guard's answer, which leads to the door and nowhere else."""
    assert answer.status_code == 401, answer.text
    (line,) = answer.text.splitlines()
    assert door in line
