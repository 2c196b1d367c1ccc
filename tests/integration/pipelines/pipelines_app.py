"""The control API, served for tests of pipelines, whose product is house_prices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from dagster import DagsterInstance

from mlops_assets.api.app import create_app
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.serving_thread import served
from tests.unit.pipelines.made_pipelines import pipeline, stage

TOKEN = "operators-token-of-a-test"
JSON, YAML = {"Content-Type": "application/json"}, {"Content-Type": "application/yaml"}


@contextmanager
def pipelines_api(
    database: Database, home: Path, instance: DagsterInstance | None = None, **settings: Any
) -> Iterator[httpx.Client]:
    """A client of it with the operators' token. Without an instance, what needs Dagster's fails."""

    def opened() -> DagsterInstance:
        assert instance is not None
        return instance

    with patch("mlops_assets.api.pipelines.routes.opener", lambda _: opened):
        own = Settings(home=home, **settings)
        app = create_app(own, database, token=TOKEN, subjects=[Subject("house_prices", "House prices")])
    with served(app) as url, client_of(f"{url}/api/v1", TOKEN) as client:
        yield client


def client_of(url: str, token: str) -> httpx.Client:
    """A client with a token of its own."""
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def made(name: str = "made", **fields: Any) -> dict[str, Any]:
    """A raw pipeline of two stages."""
    return pipeline(stage("load"), stage("train", ["load"]), **{"name": name} | fields)
