"""The platform's asset that removes what is kept of stages' use of the machine, once it is old enough; nightly.

Keep out what is removed (`queries`) and how old that must be (`MLOPS_USAGE_DAYS`).
"""

from typing import Any

import dagster as dg

from mlops_assets.runs.schedules import scheduled_asset
from mlops_assets.runs.stages import Stage

CRON = "35 3 * * *"
GROUP = "platform"
NAME = "stage_usage_kept"
STAGE_SECONDS = 900


class UsageRetentionComponent(dg.Component, dg.Model, dg.Resolvable):
    """Asset `platform/stage_usage_kept` with a job and a running schedule."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return usage_definitions()


def usage_definitions() -> dg.Definitions:
    """The asset, its job and its schedule. Resources: `settings`, `database`."""
    stage = Stage(GROUP, NAME, STAGE_SECONDS)

    @dg.asset(
        key=dg.AssetKey([GROUP, NAME]),
        group_name=f"{GROUP}_usage",
        owners=["team:platform"],
        tags={"stage": "CLEANUP"},
        kinds={"postgres"},
        op_tags=stage.op_tags,
        description="Attempts of stages whose use of the machine was kept for long enough",
    )
    @stage
    def stage_usage_kept(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Any], database: dg.ResourceParam[Any]
    ) -> dg.MaterializeResult:
        from datetime import UTC, datetime, timedelta

        from mlops_assets.observability.usage.queries import remove_older

        removed = remove_older(database, datetime.now(UTC) - timedelta(days=settings.usage_days))
        return dg.MaterializeResult(metadata={"days_kept": settings.usage_days, "attempts": removed})

    return scheduled_asset(stage_usage_kept, CRON, "Removes what old attempts of stages used")
