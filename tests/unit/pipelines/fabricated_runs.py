"""Runs in Dagster's records as declared pipelines leave them, made without a sandbox.

Add here another thing that an attempt can do. Assets have the keys, the tags and the metadata of real stages; a run
that is still going, or whose process died, is told of event by event.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import dagster as dg
from dagster import AssetKey, DagsterEvent, DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from mlops_assets.pipelines import naming
from mlops_assets.pipelines.spec import PipelineSpec, StageSpec
from mlops_assets.pipelines.stage_facts import ENTRY
from mlops_assets.pipelines.validate import checked, order_of
from tests.unit.pipelines.made_pipelines import pipeline, stage

PIPELINE = UUID("11111111-2222-4333-8444-555555555555")
# What each attempt of a stage does, one word an attempt; stages that aren't named complete.
Deeds = Mapping[str, Sequence[str]]


def spec_of(*stages: Any, **fields: Any) -> PipelineSpec:
    """A pipeline of these stages; without any, `load` → `train` → `report`."""
    return checked(
        pipeline(*(stages or (stage("load"), stage("train", ["load"]), stage("report", ["train"]))), **fields)
    )


def run_tags(spec: PipelineSpec, pipeline_id: UUID = PIPELINE, version: int = 1, **more: str) -> dict[str, str]:
    """What every run of a version has, with more tags, whose names may stand for slashes as `__`."""
    return {
        naming.DECLARED_TAG: naming.DECLARED,
        naming.PIPELINE_TAG: str(pipeline_id),
        naming.NAME_TAG: spec.name,
        naming.VERSION_TAG: str(version),
        naming.TRIGGER_TAG: "API",
        naming.WHO_TAG: "ci",
        **{key.replace("__", "/"): value for key, value in more.items()},
    }


def executed(
    instance: DagsterInstance, spec: PipelineSpec, deeds: Deeds | None = None, tags: Mapping[str, str] | None = None
) -> str:
    """A run of all stages in this process, from its begin to its end; its id."""
    assets = [_asset(spec, one, (deeds or {}).get(one.name, ["completes"])) for one in order_of(spec)]
    before = set(instance.get_run_ids())
    with suppress(DagsterExecutionInterruptedError):
        dg.materialize(
            assets, instance=instance, tags=dict(tags or run_tags(spec)), raise_on_error=False, resources=_RESOURCES,
            run_config={"resources": {"parameters": {"config": {"rows": 3}}}},
        )  # fmt: skip
    (run_id,) = set(instance.get_run_ids()) - before
    return run_id


def recorded(
    instance: DagsterInstance,
    spec: PipelineSpec,
    *events: str,
    status: DagsterRunStatus = DagsterRunStatus.NOT_STARTED,
    tags: Mapping[str, str] | None = None,
    steps: Sequence[str] | None = None,
    parent: str | None = None,
) -> str:
    """A run that nobody executes; its id. `events` as for `tell`, `steps` are the stages that it runs itself."""
    run = DagsterRun(
        job_name=naming.ASSET_JOB,
        run_id=str(uuid4()),
        status=status,
        tags=dict(tags or run_tags(spec)),
        run_config={"resources": {"parameters": {"config": {"rows": 3}}}},
        asset_selection=frozenset(AssetKey(naming.asset_key(spec.name, one.name)) for one in spec.stages),
        step_keys_to_execute=None if steps is None else [key_of(spec, name) for name in steps],
        parent_run_id=parent,
        remote_job_origin=_origin(),
        root_run_id=parent,
    )
    instance.add_run(run)
    for event in events:
        tell(instance, spec, run.run_id, event)
    return run.run_id


def tell(instance: DagsterInstance, spec: PipelineSpec, run_id: str, event: str) -> None:
    """Report an event: `STEP_START train`, or one of the run itself such as `RUN_START`."""
    kind, _, name = event.partition(" ")
    told = DagsterEvent(
        event_type_value=DagsterEventType[kind].value,
        job_name=naming.ASSET_JOB,
        step_key=key_of(spec, name) if name else None,
        event_specific_data=StepSuccessData(1.0) if kind == "STEP_SUCCESS" else None,  # type: ignore[no-untyped-call]
        message=f"the process of the run is gone ({kind})",
    )
    instance.report_dagster_event(told, run_id=run_id)


def key_of(spec: PipelineSpec, name: str) -> str:
    """What Dagster calls a stage's step."""
    return f"pipelines__{spec.name}__{name}"


def facts(attempt: int, **more: Any) -> dict[str, Any]:
    """The metadata entry of an attempt."""
    known = {"attempt": attempt, "status": "completed", "wall_seconds": 1.5, "cpu_seconds": 0.5, "exit_code": 0}
    return {**known, "peak_memory_bytes": 1000, "bytes_read": 10, "bytes_written": None, **more}


def _origin() -> RemoteJobOrigin:
    location = GrpcServerCodeLocationOrigin(host="127.0.0.1", port=9, location_name=naming.LOCATION)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), naming.ASSET_JOB)


_RESOURCES = {
    "parameters": dg.ResourceDefinition(
        lambda context: context.resource_config,
        config_schema=dg.Field(dict, is_required=False, default_value={}),
    )
}


def _asset(spec: PipelineSpec, one: StageSpec, deeds: Sequence[str]) -> dg.AssetsDefinition:
    @dg.asset(
        key=AssetKey(naming.asset_key(spec.name, one.name)),
        deps=[AssetKey(naming.asset_key(spec.name, name)) for name in one.dependencies],
        retry_policy=dg.RetryPolicy(max_retries=one.retry_count) if one.retry_count else None,
        required_resource_keys={"parameters"},
    )
    def stage_asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        number = context.retry_number + 1
        if deeds[number - 1] == "is cancelled":
            context.instance.report_run_canceling(context.run)
        return _done(deeds[number - 1], number)

    return stage_asset


def _done(deed: str, attempt: int) -> dg.MaterializeResult[Any]:
    if deed == "fails":
        said = facts(
            attempt, status="failed", error_type="ValueError", error_message="bad rows", traceback="tb", line=7
        )
        raise dg.Failure("ValueError: bad rows", metadata={ENTRY: dg.MetadataValue.json(said)})
    if deed == "is refused":
        raise dg.Failure("FunctionError: there is no such file", allow_retries=False)
    if deed == "breaks":
        raise RuntimeError("a fault of the platform")
    if deed in ("is interrupted", "is cancelled"):
        raise DagsterExecutionInterruptedError
    return dg.MaterializeResult(metadata={ENTRY: dg.MetadataValue.json(facts(attempt))})
