"""GET /api/v1/statistics: how many pipelines, runs and artifacts there are, and how runs ended.

Add a count here when people ask for it. Keep out figures of single runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter
from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.router import new_router
from mlops_assets.api.pipelines.run_schemas import ArtifactCounts, PipelineCounts, RunCounts, RunStatus, Statistics
from mlops_assets.pipelines import artifact_records, run_records
from mlops_assets.storage.pipeline_tables import Pipeline, PipelineVersion


def statistics_routes(parts: Parts) -> APIRouter:
    """The one route of statistics."""
    router = new_router("statistics", asks_dagster=parts)

    @router.get("/statistics")
    def read_statistics() -> Statistics:
        """Pipelines, runs of all time and of the last 24 hours, and artifacts."""
        with parts.database.session() as session:
            pipelines = _pipelines(session)
        left = artifact_records.counts(parts.database)
        instance = parts.instance()
        return Statistics(
            pipelines=pipelines,
            runs=_runs(run_records.counts(instance)),
            runs_last_24_hours=_runs(run_records.counts(instance, datetime.now(UTC) - timedelta(hours=24))),
            artifacts=ArtifactCounts(total=left.total, bytes=left.bytes, by_type=dict(left.by_type)),
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


def _runs(counted: Mapping[RunStatus, int]) -> RunCounts:
    done, failed = counted[RunStatus.COMPLETED], counted[RunStatus.FAILED]
    return RunCounts(
        total=sum(counted.values()),
        by_status=dict(counted),
        success_rate=done / (done + failed) if done + failed else None,
    )
