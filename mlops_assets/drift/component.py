"""The drift part of a product in Dagster: daily reports, their overview, and what makes them happen and count.

The product's component merges these definitions with its own. Keep out the stages (`assets`), when they happen
(`automation`) and the policy's fields (`policy`).
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.drift import assets, automation
from mlops_assets.drift.daily import Watched


def drift_definitions(watched: Watched) -> dg.Definitions:
    """Everything Dagster knows about a product's drift. Resources: `settings`, `database`, `storage`."""
    job = automation.drift_job(watched)
    return dg.Definitions(
        assets=[assets.report_asset(watched), assets.overview_asset(watched)],
        jobs=[job],
        schedules=[automation.drift_schedule(watched, job)],
        sensors=[automation.block_sensor(watched), automation.retrain_sensor(watched)],
    )
