"""A database with Dagster's tables and our own, made once a run of the tests, empty for each test that asks for it.

Making them takes longer than most tests, and no other test can take them away: the database is theirs alone. Add a
schema here when the platform gets one. Keep out rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagster import DagsterInstance
from sqlalchemy import create_engine, make_url, text

from mlops_assets.storage.database import Database
from tests.integration.runs_api import dagster_on

# What says which version of the schemas this is, and which of Dagster's upgrades were made.
KEPT = ("alembic_version", "secondary_indexes", "instance_info", "migration")
FILLED = """
SELECT name FROM (
  SELECT tablename, format('%I.%I', schemaname, tablename) AS name FROM pg_tables
  WHERE schemaname IN ('dagster', 'mlops')
) AS tables WHERE tablename <> ALL(:kept) AND pg_relation_size(name::regclass) > 0
"""


@dataclass(frozen=True)
class PlatformTables:
    """Both schemas: the database's URL, our side and Dagster's."""

    url: str
    database: Database
    instance: DagsterInstance

    def empty(self) -> None:
        """Leave no row, and number the next ones from one."""
        with self.database.engine.begin() as connection:
            # The ledger refuses to be emptied by anybody in the usual way.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            filled = connection.scalars(text(FILLED), {"kept": list(KEPT)}).all()
            if filled:
                connection.execute(text(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE"))


def own_database(url: str, name: str) -> str:
    """An empty database beside the server's own; its URL."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def made_tables(server: str, folder: Path) -> Iterator[PlatformTables]:
    """Both schemas in a database of that server, and Dagster's instance with its files in the folder."""
    url = own_database(server, "platform")
    database = Database.connect(url)
    database.migrate()
    with dagster_on(url, folder) as instance:
        yield PlatformTables(url, database, instance)
    database.dispose()
