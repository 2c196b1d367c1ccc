"""A Dagster of its own on a real PostgreSQL, empty for each test, and the health graph in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from sqlalchemy import text

from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.health.installation import Rig
from tests.integration.runs_api import dagster_on
from tests.servers import free_port

DAGSTER = "SELECT format('dagster.%I', tablename) FROM pg_tables WHERE schemaname = 'dagster'"
# What says which version of the schema this is, and which of Dagster's upgrades were made.
KEPT = ("alembic_version", "secondary_indexes")
NOTICES = ("notice", "notice_group", "notice_delivery", "notice_channel", "notice_cursor", "service_probe")
OWN = [f"mlops.{name}" for name in (*NOTICES, "health_report", "stage_usage", "api_token")]


@pytest.fixture(scope="package")
def made(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, DagsterInstance]]:
    """Both sets of tables, made once for this folder: that takes longer than most tests of it."""
    database = Database.connect(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS mlops CASCADE"))
        connection.execute(text("DROP SCHEMA IF EXISTS dagster CASCADE"))
    database.migrate()
    with dagster_on(postgres_url, tmp_path_factory.mktemp("dagster")) as instance:
        yield database, instance
    database.dispose()


@pytest.fixture
def database(made: tuple[Database, DagsterInstance]) -> Database:
    """All tables, empty."""
    with made[0].engine.begin() as connection:
        tables = [table for table in connection.scalars(text(DAGSTER)) if not table.endswith(KEPT)]
        connection.execute(text(f"TRUNCATE {', '.join([*tables, *OWN])} RESTART IDENTITY CASCADE"))
    return made[0]


@pytest.fixture
def instance(made: tuple[Database, DagsterInstance], database: Database) -> DagsterInstance:
    return made[1]


@pytest.fixture
def rig(database: Database, instance: DagsterInstance, postgres_url: str, tmp_path: Path) -> Rig:
    home = tmp_path / "home"
    home.mkdir()
    settings = Settings(home=home, database_url=postgres_url, dagster_port=free_port(), max_concurrent_runs=2)
    return Rig(settings, database, instance)
