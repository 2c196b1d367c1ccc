"""The health graph on a platform with nothing on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import DagsterInstance

from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.health.installation import Rig
from tests.integration.platform_tables import PlatformTables
from tests.servers import free_port


@pytest.fixture
def database(empty_tables: PlatformTables) -> Database:
    return empty_tables.database


@pytest.fixture
def instance(empty_tables: PlatformTables) -> DagsterInstance:
    return empty_tables.instance


@pytest.fixture
def rig(empty_tables: PlatformTables, tmp_path: Path) -> Rig:
    home = tmp_path / "home"
    home.mkdir()
    settings = Settings(home=home, database_url=empty_tables.url, dagster_port=free_port(), max_concurrent_runs=2)
    return Rig(settings, empty_tables.database, empty_tables.instance)
