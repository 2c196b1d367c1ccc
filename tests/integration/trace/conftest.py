"""One installation's gateways, service, log and collector for all tests of traces that need them running."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from mlops_assets.storage.database import Database
from tests.integration.trace.collector import Receiver, receiving
from tests.integration.trace.desk import Desk, open_desk
from tests.integration.trace.world import World, running_world


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def world(postgres_url: str, receiver: Receiver) -> Iterator[World]:
    database = Database.connect(postgres_url)
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS mlops CASCADE"))
    database.migrate()
    # Short enough for the gateway's socket.
    with (
        tempfile.TemporaryDirectory(prefix="trace-") as folder,
        running_world(Path(folder), database, postgres_url, receiver.url) as found,
    ):
        yield found
    database.dispose()


@pytest.fixture
def desk(database: Database, postgres_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(database, postgres_url, tmp_path) as found:
        yield found
