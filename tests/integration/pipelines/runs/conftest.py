"""The served run routes on a Dagster that keeps runs and starts none, and a pipeline to order them of.

Add a file here for what is asked about runs. Keep out runs that really go: those are in `live`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from dagster import DagsterInstance

from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.storage.database import Database
from tests.integration.runs_api import RunsApi, dagster_on, runs_api
from tests.unit.pipelines.fabricated_runs import spec_of


@pytest.fixture(scope="module")
def dagster(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    with dagster_on(postgres_url, tmp_path_factory.mktemp("dagster")) as instance:
        yield instance


@pytest.fixture
def api(database: Database, dagster: DagsterInstance, tmp_path: Path) -> Iterator[RunsApi]:
    """The routes, before there was any run."""
    dagster.run_storage.wipe()
    dagster.event_log_storage.wipe()
    with runs_api(database, dagster, tmp_path) as served:
        yield served


@pytest.fixture
def client(api: RunsApi) -> Iterator[httpx.Client]:
    with api.client() as asking:
        yield asking


@pytest.fixture
def spec() -> PipelineSpec:
    return spec_of(parameters={"rows": {"type": "integer", "default": 3, "maximum": 10}, "name": {"type": "string"}})


@pytest.fixture
def declared(api: RunsApi, spec: PipelineSpec) -> UUID:
    """The pipeline's id, of which that is the first version."""
    return api.declare(spec)
