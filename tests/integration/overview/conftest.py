"""Dagster's tables and our own on a real PostgreSQL, made once for this folder and empty for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from sqlalchemy import text

from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.overview.seen_platform import Seen
from tests.integration.runs_api import dagster_on

# What says which version of the schemas this is, and which of Dagster's upgrades were made.
KEPT = ("alembic_version", "secondary_indexes", "migration")
TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname IN ('dagster', 'mlops') AND tablename <> ALL(:kept)
"""


@pytest.fixture(scope="package")
def tables(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, DagsterInstance]]:
    database = Database.connect(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS mlops CASCADE"))
        connection.execute(text("DROP SCHEMA IF EXISTS dagster CASCADE"))
    database.migrate()
    with dagster_on(postgres_url, tmp_path_factory.mktemp("dagster")) as instance:
        yield database, instance
    database.dispose()


@pytest.fixture
def seen(tables: tuple[Database, DagsterInstance], tmp_path: Path) -> Seen:
    database, instance = tables
    with database.engine.begin() as connection:
        # The ledger refuses to be emptied by anybody in the usual way.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        found = connection.scalars(text(TABLES), {"kept": list(KEPT)}).all()
        connection.execute(text(f"TRUNCATE {', '.join(found)} RESTART IDENTITY CASCADE"))
    return Seen(database, instance, Settings(home=tmp_path))
