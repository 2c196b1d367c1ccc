"""The platform's asset that removes what is older than it is kept, once a night.

Keep out what is removed (`rounds`) and how long things are kept (`declared`).
"""

from typing import Any

import dagster as dg

from mlops_assets.runs.schedules import fresh_daily, scheduled_asset
from mlops_assets.runs.stages import Stage

CRON = "10 4 * * *"
GROUP = "platform"
NAME = "retention"
# What there is no time for waits for the next night; MLflow's removal of files may take some minutes beyond it.
ROUND_SECONDS = 1500
STAGE_SECONDS = 2400


class RetentionComponent(dg.Component, dg.Model, dg.Resolvable):
    """Asset `platform/retention` with a job and a running schedule."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return retention_definitions()


def retention_definitions() -> dg.Definitions:
    """The asset, its job and its schedule. Resources: `settings`, `database`, `storage`."""
    stage = Stage(GROUP, NAME, STAGE_SECONDS)

    @dg.asset(
        key=dg.AssetKey([GROUP, NAME]),
        group_name=f"{GROUP}_retention",
        owners=["team:platform"],
        tags={"stage": "CLEANUP"},
        kinds={"postgres"},
        op_tags=stage.op_tags,
        freshness_policy=fresh_daily(CRON),
        description="Runs, files, logs and counts that were kept for long enough and that nothing refers to any more",
    )
    @stage
    def retention(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.retention.round import Round
        from mlops_assets.retention.rounds import NIGHTLY, run
        from mlops_assets.retention.shown import as_markdown, in_all

        work = Round.begun(settings, database, storage, context.instance, apply=True, seconds=ROUND_SECONDS)
        done = run(work, NIGHTLY)
        for name, swept in done.items():
            if swept.failed:
                context.log.warning(f"{name}: {swept.failed} couldn't be removed now; the run's output says why")
            if swept.unfinished:
                context.log.info(f"{name}: the rest waits for the next night")
        total = in_all(done)
        return dg.MaterializeResult(
            metadata={
                "removed": total.removed,
                "freed_bytes": total.bytes,
                "kept_because_needed": total.kept,
                "failed": total.failed,
                "unfinished": total.unfinished,
                "by_kind": dg.MetadataValue.md(as_markdown(done, settings)),
            }
        )

    return scheduled_asset(retention, CRON, "Removes what is older than it is kept")
