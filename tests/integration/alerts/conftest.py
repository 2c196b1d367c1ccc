"""The way of an alert from a figure to a message, and the route that Alertmanager posts to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlops_assets.api.app import create_app
from mlops_assets.installation import monitoring_files
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.alerts.chain import Chain, chain
from tests.integration.notifications.notified import Webhook, webhook
from tests.integration.serving_thread import served

OPERATORS = "operators-token-of-a-test"


@pytest.fixture
def told() -> Iterator[Webhook]:
    with webhook() as found:
        yield found


@pytest.fixture
def way(database: Database, told: Webhook) -> Iterator[Chain]:
    """The chain; a test starts the API and the notifier itself."""
    with chain(database, told) as made:
        yield made


@pytest.fixture
def monitored(tmp_path: Path) -> Settings:
    """An installation that Alertmanager may post to."""
    settings = Settings(home=tmp_path)
    settings.secrets.mkdir()
    monitoring_files.configure(settings, [])
    return settings


@pytest.fixture
def client(database: Database, monitored: Settings) -> Iterator[httpx.Client]:
    """Its control API, without a token."""
    with (
        served(create_app(monitored, database, token=OPERATORS, subjects=[])) as url,
        httpx.Client(base_url=url, timeout=20) as found,
    ):
        yield found
