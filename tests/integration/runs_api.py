"""The run routes on a real PostgreSQL with a Dagster instance of their own, and pipelines to ask them about.

Add here what several tests of run routes need. Keep out what they prove. Runs that the API starts wait in Dagster's
queue, which nobody empties: real execution has its own tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
from dagster import DagsterInstance
from fastapi import FastAPI
from sqlalchemy import create_engine, text

from mlops_assets.access.known import KnownTokens
from mlops_assets.access.rate_limit import RateLimit
from mlops_assets.api.auth import Authority
from mlops_assets.api.edge import Edge
from mlops_assets.api.pipelines.events import event_routes
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.runs import run_routes
from mlops_assets.api.pipelines.statistics import statistics_routes
from mlops_assets.api.problems import add_problem_handlers
from mlops_assets.pipelines import store
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.serving_thread import served
from tests.unit.pipelines.fabricated_runs import run_tags

TOKEN = "operators-token-of-a-test"
QUEUEING = """
storage: {postgres: {postgres_url: "%s"}}
run_coordinator: {module: dagster.core.run_coordinator, class: QueuedRunCoordinator}
telemetry: {enabled: false}
"""


@contextmanager
def dagster_on(postgres_url: str, folder: Path) -> Iterator[DagsterInstance]:
    """An instance whose tables are in a schema of their own, as an installation has it. They go when it does."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS dagster"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dagster.yaml").write_text(QUEUEING % f"{postgres_url}&options=-csearch_path%3Ddagster")
    with DagsterInstance.from_config(str(folder)) as instance:
        instance.optimize_for_webserver(20_000, 3600, 10)
        yield instance
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS dagster CASCADE"))
    engine.dispose()


@dataclass(frozen=True)
class RunsApi:
    """A served API of runs, and what is behind it."""

    url: str
    parts: Parts
    app: FastAPI

    @property
    def instance(self) -> DagsterInstance:
        """Dagster, as the API has it."""
        return self.parts.instance()

    def client(self, token: str | None = TOKEN) -> httpx.Client:
        """A client with a token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=20)

    def declare(self, spec: PipelineSpec, *, deploy: bool = True) -> UUID:
        """Store a pipeline; its id."""
        with self.parts.database.session() as session, session.begin():
            return store.create(session, spec, "kim", deploy=deploy).id

    def tags(self, spec: PipelineSpec, pipeline_id: UUID, **more: str) -> Mapping[str, str]:
        """What a run of its first version has."""
        return run_tags(spec, pipeline_id, 1, **more)


@contextmanager
def runs_api(database: Database, instance: DagsterInstance, home: Path) -> Iterator[RunsApi]:
    """The run routes alone, with everything that holds for every request."""
    settings = Settings(home=home)
    logs = StageLogs(settings.stage_logs)
    parts = Parts(settings, database, Storage(settings.storage), logs, lambda: instance)
    app = FastAPI()
    app.state.authority = Authority(TOKEN, issued=KnownTokens(database))
    app.state.rate_limit = RateLimit(1000, 1000)
    for routes in (run_routes, event_routes, statistics_routes):
        app.include_router(routes(parts))
    add_problem_handlers(app)
    app.add_middleware(Edge)
    with served(app) as url:
        yield RunsApi(url, parts, app)
