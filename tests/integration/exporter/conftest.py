"""Both schemas that the exporter reads, empty, in a real server; Dagster's tables are those that Dagster makes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance

from mlops_assets.observability.exporter.collectors.source import Source
from mlops_assets.storage.database import Database
from tests.integration.exporter.made_rows import Rows
from tests.integration.platform_tables import PlatformTables


@pytest.fixture
def database(empty_tables: PlatformTables) -> Database:
    return empty_tables.database


@pytest.fixture
def instance(empty_tables: PlatformTables) -> DagsterInstance:
    return empty_tables.instance


@pytest.fixture
def rows(database: Database) -> Rows:
    """Rows by SQL, for what takes long to come about."""
    return Rows(database)


@pytest.fixture
def source(empty_tables: PlatformTables) -> Iterator[Source]:
    """The database as collectors ask it."""
    found = Source(empty_tables.url)
    yield found
    found.close()
