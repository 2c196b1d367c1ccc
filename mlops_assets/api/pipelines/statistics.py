"""GET /api/v1/statistics: how many pipelines, runs and artifacts there are, and how runs ended.

Add a count here when people ask for it. Keep out figures of single runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from mlops_assets.api.auth import Viewer
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.run_schemas import ArtifactCounts, PipelineCounts, RunCounts, RunStatus, Statistics
from mlops_assets.api.pipelines.run_state import AskingRoute, database_answers
from mlops_assets.api.problems import answers
from mlops_assets.pipelines import run_records
from mlops_assets.pipelines.stage_types import ArtifactType
from mlops_assets.storage.pipeline_tables import Artifact, Pipeline, PipelineVersion


def statistics_routes(parts: Parts) -> APIRouter:
    """The one route of statistics."""
    router = APIRouter(
        prefix="/api/v1",
        tags=["statistics"],
        dependencies=[Viewer, database_answers(parts)],
        responses=answers(401, 429, 503),
        route_class=AskingRoute,
    )

    @router.get("/statistics")
    def read_statistics() -> Statistics:
        """Pipelines, runs of all time and of the last 24 hours, and artifacts."""
        with parts.database.session() as session:
            pipelines, artifacts = _pipelines(session), _artifacts(session)
        instance = parts.instance()
        return Statistics(
            pipelines=pipelines,
            runs=_runs(run_records.counts(instance)),
            runs_last_24_hours=_runs(run_records.counts(instance, datetime.now(UTC) - timedelta(hours=24))),
            artifacts=artifacts,
        )

    return router


def _pipelines(session: Session) -> PipelineCounts:
    newest = and_(PipelineVersion.pipeline_id == Pipeline.id, PipelineVersion.version == Pipeline.version)
    asked = (
        select(
            func.count(),
            func.count().filter(Pipeline.active),
            func.count(Pipeline.deployed_version),
            func.count(PipelineVersion.spec["schedule"].astext),
        )
        .join(PipelineVersion, newest)
        .where(Pipeline.deleted_at.is_(None))
    )
    total, active, deployed, scheduled = session.execute(asked).one()
    return PipelineCounts(total=total, active=active, paused=total - active, deployed=deployed, scheduled=scheduled)


def _artifacts(session: Session) -> ArtifactCounts:
    asked = (
        select(Artifact.type, func.count(), func.sum(Artifact.size))
        .where(Artifact.uri.is_not(None))
        .group_by(Artifact.type)
        .order_by(Artifact.type)
    )
    rows = session.execute(asked).all()
    return ArtifactCounts(
        total=sum(count for _, count, _ in rows),
        bytes=sum(int(size) for _, _, size in rows),
        by_type={ArtifactType(kind): count for kind, count, _ in rows},
    )


def _runs(counted: Mapping[run_records.RunStatus, int]) -> RunCounts:
    done, failed = counted[run_records.RunStatus.COMPLETED], counted[run_records.RunStatus.FAILED]
    return RunCounts(
        total=sum(counted.values()),
        by_status={RunStatus(status.value): count for status, count in counted.items()},
        success_rate=done / (done + failed) if done + failed else None,
    )
