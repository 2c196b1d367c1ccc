"""All routes of declared pipelines, put together for the application.

Add a router here. Keep out what the routes do.
"""

from __future__ import annotations

from fastapi import APIRouter

from mlops_assets.api.pipelines.artifacts import artifact_routes
from mlops_assets.api.pipelines.events import event_routes
from mlops_assets.api.pipelines.logs import log_routes
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.pipelines import pipeline_routes
from mlops_assets.api.pipelines.runs import run_routes
from mlops_assets.api.pipelines.statistics import statistics_routes
from mlops_assets.api.pipelines.templates import template_routes
from mlops_assets.pipelines.dagster_instance import opener
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.runs.kept_logs import STAGES, KeptLogs
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage

# Beside the products': the platform's own group in Dagster.
RESERVED = frozenset({"platform"})


def parts_of(settings: Settings, database: Database, products: frozenset[str]) -> Parts:
    """What the routes work with in this installation. Nothing is opened before it is needed."""
    storage = Storage(settings.storage)
    return Parts(
        settings=settings,
        database=database,
        storage=storage,
        logs=StageLogs(settings.stage_logs, KeptLogs.of(storage, STAGES, settings.stage_logs)),
        instance=opener(settings),
        reserved=products | RESERVED,
    )


def routers(parts: Parts) -> list[APIRouter]:
    """Every router of pipelines, runs, artifacts, templates and statistics."""
    return [
        pipeline_routes(parts),
        run_routes(parts),
        event_routes(parts),
        log_routes(parts),
        artifact_routes(parts),
        template_routes(parts),
        statistics_routes(parts),
    ]
