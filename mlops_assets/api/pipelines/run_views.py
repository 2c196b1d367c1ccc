"""Runs and their stages as they are told: what Dagster's records say in, schemas out.

Add a field here and in `run_schemas`. Keep out reading records (`pipelines.run_records`, `pipelines.stage_runs`) and
putting the parts of one run together (`run_state`).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from mlops_assets.api.pipelines.run_schemas import RunView, StageErrorView, StageRunView, Trigger
from mlops_assets.pipelines.run_records import Run
from mlops_assets.pipelines.stage_runs import StageRun


def run_view(run: Run, error: str | None = None) -> RunView:
    """One run. `error`, why it failed, is read from its events."""
    ended = run.ended_at if run.finished else None
    return RunView(
        id=run.id,
        pipeline_id=str(run.pipeline_id or ""),
        pipeline=run.pipeline,
        version=run.version,
        status=run.status,
        trigger=Trigger(run.trigger),
        triggered_by=run.who,
        parameters=dict(run.parameters),
        environment=run.environment,
        tags=dict(run.tags),
        notes=run.notes,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=ended,
        duration_seconds=round((ended - run.started_at).total_seconds(), 3) if ended and run.started_at else None,
        error=error,
        retry_of=run.retry_of,
    )


def stage_view(found: StageRun, artifacts: Sequence[UUID]) -> StageRunView:
    """One stage, with the ids of what it left."""
    facts, error = found.facts, found.error
    return StageRunView(
        name=found.stage.name,
        stage_type=found.stage.stage_type,
        status=found.status,
        attempt=found.attempt,
        started_at=found.started_at,
        ended_at=found.ended_at,
        wall_seconds=facts.wall_seconds if facts else None,
        cpu_seconds=facts.cpu_seconds if facts else None,
        peak_memory_bytes=facts.peak_memory_bytes if facts else None,
        bytes_read=facts.bytes_read if facts else None,
        bytes_written=facts.bytes_written if facts else None,
        exit_code=facts.exit_code if facts else None,
        error=StageErrorView(type=error.type, message=error.message, traceback=error.traceback, line=error.line)
        if error
        else None,
        artifacts=[str(artifact) for artifact in artifacts],
    )
