"""The platform's asset that removes what runs of declared pipelines have left, once it is old enough; nightly.

Keep out what is removed (`retention`) and how old that must be (`MLOPS_ARTIFACT_DAYS`).
"""

from collections.abc import Collection
from typing import Any

import dagster as dg

from mlops_assets.runs.schedules import scheduled_asset
from mlops_assets.runs.stages import Stage

CRON = "20 3 * * *"
GROUP = "platform"
STAGE_SECONDS = 1800
UNFINISHED = [
    *(dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING),
    *(dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING),
]


class PipelineRetentionComponent(dg.Component, dg.Model, dg.Resolvable):
    """Asset `platform/pipeline_files` with a job and a running schedule."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return retention_definitions()


def retention_definitions() -> dg.Definitions:
    """The asset, its job and its schedule. Resources: `settings`, `database`, `storage`."""
    stage = Stage(GROUP, "pipeline_files", STAGE_SECONDS)

    @dg.asset(
        key=dg.AssetKey([GROUP, "pipeline_files"]),
        group_name=f"{GROUP}_pipelines",
        owners=["team:platform"],
        tags={"stage": "CLEANUP"},
        kinds={"postgres"},
        op_tags=stage.op_tags,
        description="Files and logs of declared pipelines' runs that were old enough to go; their records stay",
    )
    @stage
    def pipeline_files(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.pipelines.retention import expire
        from mlops_assets.pipelines.stage_folders import StageFolders
        from mlops_assets.pipelines.stage_logs import StageLogs

        def going(runs: Collection[str]) -> set[str]:
            return unfinished_of(context.instance, runs)

        StageFolders(settings.stage_folders).remove_left()
        done = expire(database, storage, StageLogs(settings.stage_logs), settings.artifact_days, going=going)
        return dg.MaterializeResult(metadata={"days_kept": settings.artifact_days, **vars(done)})

    return scheduled_asset(pipeline_files, CRON, "Removes old files and logs of declared pipelines' runs")


def unfinished_of(instance: dg.DagsterInstance, runs: Collection[str]) -> set[str]:
    """Those of some runs that haven't ended."""
    if not runs:
        return set()
    found = instance.get_runs(dg.RunsFilter(run_ids=list(runs), statuses=UNFINISHED))
    return {run.run_id for run in found}
