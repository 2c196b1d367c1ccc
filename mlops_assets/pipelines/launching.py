"""Starting and cancelling runs of declared pipelines, on Dagster's instance and not through its webserver.

The run is made from the one version that it is of, so it takes as long with a thousand pipelines as with one, and
needs neither webserver nor code server. Add here what every run starts with. Keep out who may start one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from mlops_assets.pipelines import naming
from mlops_assets.settings import PROJECT, Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance, JobDefinition
    from dagster._core.remote_origin import RemoteJobOrigin

    from mlops_assets.pipelines.spec import PipelineSpec

MODULE = "mlops_assets.pipelines.definitions"
ATTRIBUTE = "defs"
KEPT_JOBS = 200


@dataclass(frozen=True)
class RunRequest:
    """What a run is started with; the parameters as they were given, already accepted by `parameters.bind`."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    trigger: str = "API"
    who: str = ""


def launch(
    instance: DagsterInstance,
    settings: Settings,
    pipeline_id: UUID,
    version: int,
    spec: PipelineSpec,
    request: RunRequest,
    run_id: str | None = None,
) -> str:
    """Start a run of one version: at once, or queued where limits say so; its id. `run_id` is a new one to use."""
    from dagster import AssetKey

    job = _job(pipeline_id, version, spec)
    run = instance.create_run_for_job(
        job,
        run_id=run_id,
        run_config={"resources": {"parameters": {"config": dict(request.parameters)}}},
        tags=_tags(pipeline_id, version, spec, request),
        asset_selection=frozenset(AssetKey(naming.asset_key(spec.name, stage.name)) for stage in spec.stages),
        remote_job_origin=_remote_origin(settings),
        job_code_origin=_code_origin(),
    )
    # Our coordinator and launcher need no workspace: they know the run's code from the run.
    instance.submit_run(run.run_id, cast("Any", None))
    return run.run_id


def submit_left(instance: DagsterInstance, before: datetime) -> list[str]:
    """Submit what was made before this moment and not submitted, because its process ended in between; the ids."""
    from dagster import DagsterRunStatus, RunsFilter

    filters = RunsFilter(
        tags={naming.DECLARED_TAG: naming.DECLARED},
        statuses=[DagsterRunStatus.NOT_STARTED],
        created_before=before,
    )
    left = [run.run_id for run in instance.get_runs(filters, ascending=True)]
    for run_id in left:
        instance.submit_run(run_id, cast("Any", None))
    return left


def cancel(instance: DagsterInstance, run_id: str) -> bool:
    """Ask a run to end; False if it has ended. A queued one is cancelled at once, another one within seconds."""
    return instance.run_coordinator.cancel_run(run_id)


def _tags(pipeline_id: UUID, version: int, spec: PipelineSpec, request: RunRequest) -> dict[str, str]:
    from mlops_assets.pipelines.dagster_assets import Version

    tags = {**Version(pipeline_id, version, spec).run_tags, **request.tags}
    tags |= {naming.TRIGGER_TAG: request.trigger, naming.WHO_TAG: request.who}
    if request.environment:
        tags[naming.ENVIRONMENT_TAG] = request.environment
    if request.notes:
        tags[naming.NOTES_TAG] = request.notes
    return tags


_jobs: dict[tuple[UUID, int], JobDefinition] = {}


def _job(pipeline_id: UUID, version: int, spec: PipelineSpec) -> JobDefinition:
    """The job of all stages of a version, which never changes."""
    from mlops_assets.pipelines.dagster_assets import Version
    from mlops_assets.pipelines.definitions import definitions_of

    found = _jobs.get((pipeline_id, version))
    if found is None:
        definitions = definitions_of([Version(pipeline_id, version, spec)], active=frozenset())
        found = definitions.resolve_implicit_global_asset_job_def()
        while len(_jobs) >= KEPT_JOBS:
            _jobs.pop(next(iter(_jobs)), None)
        _jobs[pipeline_id, version] = found
    return found


def _remote_origin(settings: Settings) -> RemoteJobOrigin:
    """The job as Dagster's webserver and daemon know it: one of the location that our code server serves."""
    from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

    location = GrpcServerCodeLocationOrigin(
        host=settings.host, port=settings.ports.pipelines, location_name=naming.LOCATION
    )
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), naming.ASSET_JOB)


@lru_cache
def _code_origin() -> Any:
    """Where the process of a run finds its code."""
    from dagster._core.code_pointer import ModuleCodePointer
    from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

    repository = RepositoryPythonOrigin(
        executable_path=sys.executable,
        code_pointer=ModuleCodePointer(MODULE, ATTRIBUTE, str(PROJECT)),
        entry_point=["dagster"],
    )
    return JobPythonOrigin(naming.ASSET_JOB, repository)
