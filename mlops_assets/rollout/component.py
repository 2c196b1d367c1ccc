"""The rollout part of a product in Dagster: evidence, verdict and chart as assets, and what makes looks happen.

The product's component merges these definitions with its own. Keep out the stages (`assets`), when they happen
(`automation`) and the policy's fields (`policy`).
"""

from __future__ import annotations

import dagster as dg

from mlops_assets.rollout import assets, automation
from mlops_assets.rollout.policy import RolloutPolicy


def rollout_definitions(name: str, title: str, owner: str, policy: RolloutPolicy) -> dg.Definitions:
    """Everything Dagster knows about the rollouts of product `name`; its job `<name>_train` is asked for retrains."""
    group = assets.Group(name, title, owner, policy)
    look = automation.rollout_job(group)
    retention = automation.retention_job(group)
    return dg.Definitions(
        assets=[
            assets.evidence_asset(group),
            assets.verdict_asset(group),
            assets.chart_asset(group),
            assets.retention_asset(group),
        ],
        jobs=[look, retention],
        schedules=[automation.rollout_schedule(group, look), automation.retention_schedule(retention)],
        sensors=[automation.guardrail_sensor(group, look), automation.retrain_sensor(group)],
    )
