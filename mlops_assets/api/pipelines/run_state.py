"""One run put together from everything that knows of it: Dagster's records, the version's spec, the artifacts' rows.

Add here what a run's page and its live events both show. Keep out lists of runs. A run may be read again and again
while it goes on: then only what has come since is asked for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.run_schemas import RunDetail, RunView, StageRunView, StageStatus
from mlops_assets.api.pipelines.run_views import run_view, stage_view
from mlops_assets.pipelines import artifact_records, run_records, stage_events, store
from mlops_assets.pipelines.run_parents import with_parents
from mlops_assets.pipelines.run_records import Run
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.stage_events import RunLog
from mlops_assets.pipelines.stage_runs import first_fault, stage_runs

if TYPE_CHECKING:
    from dagster import DagsterInstance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunState:
    """A run and its stages in execution order, at one moment. `own` are the stages whose logs are this run's."""

    run: RunView
    stages: tuple[StageRunView, ...]
    own: frozenset[str]
    finished: bool


class RunReader:
    """Reads one run, any number of times. Not for two threads at once."""

    def __init__(self, parts: Parts, run_id: str) -> None:
        self._parts, self._run_id = parts, run_id
        self._spec: PipelineSpec | None = None
        self._events = RunLog(run_id)
        self._taken_up: list[RunLog] | None = None
        self._seen: tuple[Run, str | None] | None = None
        self._state: RunState | None = None

    def read(self) -> RunState | None:
        """The run as it is now, the same object as before if nothing has changed; None if there is no such run."""
        instance = self._parts.instance()
        run = run_records.one(instance, self._run_id)
        if run is None:
            return None
        if run.finished and not (self._state is not None and self._state.finished):
            # From the start: of two events written at once, the one with the smaller number may be seen later.
            self._events = RunLog(self._run_id)
        self._events.read(instance)
        seen = (run, self._events.cursor)
        if self._state is None or seen != self._seen:
            self._seen, self._state = seen, self._put_together(instance, run)
        return self._state

    def _put_together(self, instance: DagsterInstance, run: Run) -> RunState:
        if self._taken_up is None:
            earlier = _earlier(instance, run)
            self._taken_up = [stage_events.read(instance, run_id) for run_id in earlier]
            self._spec = _spec_of(self._parts, run)
        found = stage_runs(run, self._spec, self._events, self._taken_up) if self._spec is not None else []
        run_ids = [run.id, *(log.run_id for log in self._taken_up)]
        left = artifact_records.of_runs(self._parts.database, run_ids)
        return RunState(
            run=run_view(run, first_fault(run, found, self._events)),
            stages=tuple(stage_view(stage, left.get((stage.run_id, stage.stage.name), ())) for stage in found),
            own=frozenset(stage.stage.name for stage in found if stage.run_id == run.id),
            finished=run.finished,
        )


def detail_view(state: RunState, dagster_url: str) -> RunDetail:
    """All of a run."""
    statuses = [stage.status for stage in state.stages]
    return RunDetail(
        **dict(state.run),
        stages=list(state.stages),
        succeeded=statuses.count(StageStatus.COMPLETED),
        failed=statuses.count(StageStatus.FAILED),
        dagster_url=f"{dagster_url}/runs/{state.run.id}",
    )


def _earlier(instance: DagsterInstance, run: Run) -> list[str]:
    """The runs that this one takes up, newest first; none if it runs every stage itself."""
    if run.retry_of is None:
        return []
    found = instance.get_run_by_id(run.id)
    return with_parents(instance, found)[1:] if found is not None else []


def _spec_of(parts: Parts, run: Run) -> PipelineSpec | None:
    """The version that the run is of; None if its tags name none, or one that this platform can't read."""
    if run.pipeline_id is None:
        return None
    with parts.database.session() as session:
        row = store.version_of(session, run.pipeline_id, run.version)
    try:
        return store.spec_of(row) if row is not None else None
    except ValidationError:
        log.warning("version %s of pipeline %s can't be read", run.version, run.pipeline_id)
        return None
