"""The table of what stages used, with Dagster's own beside it, made once for each file.

Add here what several files of this folder need.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from mlops_assets.storage.database import Database
from tests.integration.usage.made_attempts import Attempts, make_dagster


@pytest.fixture(scope="module")
def tables(postgres_url: str) -> Iterator[Database]:
    """The platform's tables and Dagster's table of runs."""
    database = Database.connect(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS mlops CASCADE"))
    make_dagster(database)
    database.migrate()
    yield database
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA dagster CASCADE"))
    database.dispose()


@pytest.fixture
def with_dagster(tables: Database) -> Database:
    """The same tables, empty."""
    with tables.engine.begin() as connection:
        connection.execute(text("TRUNCATE mlops.stage_usage, dagster.runs"))
    return tables


@pytest.fixture
def put(with_dagster: Database) -> Iterator[Attempts]:
    """Puts attempts into them."""
    attempts = Attempts(with_dagster)
    yield attempts
    attempts.close()
