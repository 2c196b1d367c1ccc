"""Both schemas that the exporter reads, empty, in a real server; Dagster's tables are those that Dagster makes."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from sqlalchemy import text

from mlops_assets.observability.exporter.collectors.source import Source
from mlops_assets.storage.database import Database
from tests.integration.exporter.made_rows import Rows, dagster_instance, in_schema

KEPT = ("alembic_version", "secondary_indexes", "instance_info")
TABLES = """
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname IN ('mlops', 'dagster') AND tablename <> ALL(:kept)
"""


@pytest.fixture(scope="session")
def dagster_made(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in that server, with its tables in their schema, and our own tables beside it."""
    database = Database.connect(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS mlops CASCADE"))
        connection.execute(text("DROP SCHEMA IF EXISTS dagster CASCADE"))
        connection.execute(text("CREATE SCHEMA dagster"))
    database.migrate()
    database.dispose()
    with dagster_instance(in_schema(postgres_url, "dagster"), tmp_path_factory.mktemp("dagster")) as instance:
        yield instance


@pytest.fixture
def database(dagster_made: dg.DagsterInstance, postgres_url: str) -> Iterator[Database]:
    """All tables without a row; far quicker than making them anew."""
    found = Database.connect(postgres_url)
    with found.engine.begin() as connection:
        # The ledger refuses to forget, and tables refer to each other.
        connection.execute(text("SET LOCAL session_replication_role = replica; SET LOCAL synchronous_commit = off"))
        for table in connection.execute(text(TABLES), {"kept": list(KEPT)}).scalars().all():
            connection.execute(text(f"DELETE FROM {table}"))
    yield found
    found.dispose()


@pytest.fixture
def instance(dagster_made: dg.DagsterInstance, database: Database) -> dg.DagsterInstance:
    """That instance, with nothing in it."""
    return dagster_made


@pytest.fixture
def rows(database: Database) -> Rows:
    """Rows by SQL, for what takes long to come about."""
    return Rows(database)


@pytest.fixture
def source(postgres_url: str, database: Database) -> Iterator[Source]:
    """The database as collectors ask it."""
    found = Source(postgres_url)
    yield found
    found.close()
