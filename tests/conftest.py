"""Tiers by folder, enforced at collection, and the fixtures that start real servers.

unit: no server, no process, quick. integration: one part against real servers. e2e: the whole platform.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TIERS = {"unit": 60, "integration": 300, "e2e": 600}
SERVER_FIXTURES = {"postgres_url", "database", "mlflow_url", "installation"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test its tier's time limit; a unit test that asks for a server is refused."""
    selected, left = [], []
    for item in items:
        tier = item.path.relative_to(TESTS).parts[0]
        if tier not in TIERS:
            raise pytest.UsageError(f"{item.nodeid}: tests belong in one of {', '.join(TIERS)}")
        wanted = SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if tier == "unit" and wanted:
            raise pytest.UsageError(f"{item.nodeid} asks for {', '.join(wanted)}: move it to integration")
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIERS[tier]))
        real = item.get_closest_marker("real_data") is not None
        (left if real and not os.environ.get("MLOPS_REAL_DATA") else selected).append(item)
    # Deselected, not skipped: with MLOPS_REAL_DATA set they run, and fail if a file is missing.
    config.hook.pytest_deselected(items=left)
    items[:] = selected


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real data files."""
    return Path(os.environ["MLOPS_REAL_DATA"])


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server of our own, run as the platform runs it; yields its SQLAlchemy URL."""
    from tests.servers import running_postgres

    # Not below pytest's folder: that is closed again by the next pytest, and root's server runs as another user.
    with tempfile.TemporaryDirectory(prefix="mlops-test-") as folder, running_postgres(Path(folder)) as url:
        yield url


@pytest.fixture
def database(postgres_url: str) -> Iterator[object]:
    """The platform's tables, empty, in that server."""
    from sqlalchemy import text

    from mlops_assets.storage.database import Database

    found = Database.connect(postgres_url)
    with found.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS mlops CASCADE"))
    found.migrate()
    yield found
    found.dispose()


@pytest.fixture(scope="session")
def mlflow_url(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on that database."""
    from tests.servers import running_mlflow

    with running_mlflow(postgres_url, tmp_path_factory.mktemp("mlflow")) as url:
        yield url
