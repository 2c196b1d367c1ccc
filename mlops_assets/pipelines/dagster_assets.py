"""A declared pipeline as Dagster sees it: an asset for each stage, and a schedule.

Add here what of a spec shall be seen in Dagster. Keep out what a stage does (`dagster_stage`). A pipeline has no job of
its own: with a thousand of them Dagster would take seconds to load. Runs are of the location's one job and a selection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import dagster as dg

from mlops_assets.pipelines import naming
from mlops_assets.pipelines.dagster_stage import StageBody
from mlops_assets.pipelines.spec import PipelineSpec, StageSpec
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.pipelines.validate import order_of
from mlops_assets.runs.stages import RETRIES_TAG, TIME_LIMIT_TAG, TITLE_TAG

PARAMETERS = "parameters"
# Dagster takes owners only as an address or as a team.
TEAM = "team:"


@dataclass(frozen=True)
class Version:
    """One version of one pipeline."""

    pipeline_id: UUID
    number: int
    spec: PipelineSpec

    @property
    def run_tags(self) -> dict[str, str]:
        """What every run of it is found by."""
        return {
            naming.DECLARED_TAG: naming.DECLARED,
            naming.PIPELINE_TAG: str(self.pipeline_id),
            naming.NAME_TAG: self.spec.name,
            naming.VERSION_TAG: str(self.number),
            "dagster/max_runtime": str(self.spec.timeout_seconds),
            **self.spec.tags,
        }

    @cached_property
    def assets(self) -> tuple[dg.AssetsDefinition, ...]:
        """The assets of its stages, in execution order; made once, as that is most of the time of loading."""
        return tuple(_asset(self, stage) for stage in order_of(self.spec))

    @property
    def asset_keys(self) -> tuple[dg.AssetKey, ...]:
        """The keys of its stages, in execution order."""
        return tuple(dg.AssetKey(naming.asset_key(self.spec.name, stage.name)) for stage in order_of(self.spec))


def schedule_of(version: Version, active: bool) -> dg.ScheduleDefinition | None:
    """The pipeline's schedule, None if it has none. It is off in Dagster while the pipeline is paused."""
    spec = version.spec
    if spec.schedule is None:
        return None
    tags = {**version.run_tags, naming.TRIGGER_TAG: "SCHEDULED", naming.WHO_TAG: "schedule"}
    keys = list(version.asset_keys)

    def evaluate(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(asset_selection=keys, tags=tags)

    return dg.ScheduleDefinition(
        name=naming.schedule_name(spec.name),
        job_name=naming.ASSET_JOB,
        cron_schedule=spec.schedule,
        execution_timezone=spec.timezone,
        execution_fn=evaluate,
        default_status=dg.DefaultScheduleStatus.RUNNING if active else dg.DefaultScheduleStatus.STOPPED,
        description=f"Runs pipeline {spec.name}",
        tags={naming.NAME_TAG: spec.name},
    )


def shared_resources() -> dict[str, dg.ResourceDefinition]:
    """What every stage needs: the parameters that a run was given, as its run config has them."""
    return {
        PARAMETERS: dg.ResourceDefinition(
            lambda context: context.resource_config,
            config_schema=dg.Field(dg.Permissive(), is_required=False, default_value={}),  # type: ignore[no-untyped-call]
            description="The parameters of the pipeline's run",
        )
    }


def _asset(version: Version, stage: StageSpec) -> dg.AssetsDefinition:
    spec = version.spec
    body = StageBody(version.pipeline_id, version.number, spec, stage)

    @dg.asset(
        key=dg.AssetKey(naming.asset_key(spec.name, stage.name)),
        deps=[dg.AssetKey(naming.asset_key(spec.name, name)) for name in stage.dependencies],
        group_name=spec.name,
        description=_described(spec, stage),
        metadata={"pipeline_version": version.number, **_source_entry(stage)},
        tags={naming.STAGE_TYPE_TAG: stage.stage_type.value},
        owners=_owners(spec.owner),
        kinds={"python"},
        required_resource_keys={PARAMETERS},
        op_tags={
            TITLE_TAG: f"stage {stage.name} of {spec.name}",
            TIME_LIMIT_TAG: str(stage.timeout_seconds),
            RETRIES_TAG: str(stage.retry_count),
        },
        code_version=str(version.number),
        output_required=True,
    )
    # Without a type: Dagster would take the text of an annotation for one.
    def stage_asset(context):  # type: ignore[no-untyped-def]
        return body(context)

    return stage_asset


def _described(spec: PipelineSpec, stage: StageSpec) -> str:
    kind = stage.custom_name if stage.stage_type is StageType.CUSTOM else stage.stage_type.value
    return f"{kind}: stage {stage.name} of pipeline {spec.title or spec.name}"


def _source_entry(stage: StageSpec) -> dict[str, Any]:
    if stage.source is not None:
        return {}  # in the API's own record of the version; a thousand sources would slow Dagster's pages
    return {"function": dg.MetadataValue.json(stage.function.model_dump() if stage.function else {})}


def _owners(owner: str | None) -> list[str] | None:
    if not owner:
        return None
    name, at, domain = owner.partition("@")
    if at and name and "." in domain and " " not in owner:
        return [owner]
    kept = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "-" for c in owner)[:80]
    return [f"{TEAM}{kept}"]
