"""Declared pipelines: their store, their routes, what runs and leaves; a folder for each kind of server they need.

Add a file here when a database and the served API are enough for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dagster import DagsterInstance

from mlops_assets.storage.database import Database
from tests.integration.pipelines.pipelines_app import pipelines_api


@pytest.fixture(scope="module")
def instance() -> Iterator[DagsterInstance]:
    """Dagster, without anything that runs."""
    with DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def client(database: Database, instance: DagsterInstance, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the served API with the operators' token."""
    with pipelines_api(database, tmp_path / "home", instance) as found:
        yield found
