"""When days are compared and what follows: the daily job, the sensor that blocks, the sensor that trains again.

Keep out what a comparison does (`daily`), the rules of blocking (`effects`) and of training (`retraining`).
"""

from typing import Any

import dagster as dg

from mlops_assets.drift.daily import Watched
from mlops_assets.rollout.automation import is_running

SENSOR_SECONDS = 60
# After the export of the day's last hour (ten minutes past the hour) and one more try of it.
DRIFT_CRON = "30 1 * * *"


def drift_job(watched: Watched) -> Any:
    """`<product>_drift`: one day, one partition."""
    return dg.define_asset_job(
        f"{watched.name}_drift",
        selection=dg.AssetSelection.assets(dg.AssetKey([watched.name, "drift_report"])),
        description=f"{watched.title}: a day of live data beside what production was trained on",
        tags={"product": watched.name, "dagster/max_runtime": "1800"},
    )


def drift_schedule(watched: Watched, job: Any) -> dg.ScheduleDefinition:
    """`<job>_schedule`: every day that is over, has rows and wasn't compared yet."""

    @dg.schedule(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=DRIFT_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Yesterday, and days that were missed while the machine was off",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Any]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        from mlops_assets.drift.days import due_days

        now = context.scheduled_execution_time
        due = due_days(database, watched.name, now)
        if not due:
            return dg.SkipReason("every finished day with traffic is compared")
        return [dg.RunRequest(run_key=f"{day} at {now:%Y-%m-%d}", partition_key=day.isoformat()) for day in due]

    return schedule


def block_sensor(watched: Watched) -> dg.SensorDefinition:
    """`<product>_block_on_drift`: the ledger says what the verdicts say, also after a kill between the two."""

    @dg.sensor(
        name=f"{watched.name}_block_on_drift",
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Blocks promotions while drift lasts and lifts the block",
        metadata={"mlops/watches": "drift verdicts", "mlops/writes": "ledger"},
    )
    def sensor(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Any]) -> dg.SkipReason:
        from mlops_assets.drift import effects
        from mlops_assets.rollout.ledger import Conflict, Ledger

        try:
            state = effects.settle(Ledger(database), database, watched.name, watched.policy)
        except Conflict as conflict:
            return dg.SkipReason(f"others decided meanwhile; looking again: {conflict}")
        return dg.SkipReason(f"promotions are blocked: {state.drift_block}" if state.drift_block else "no block")

    return sensor


def retrain_sensor(watched: Watched) -> dg.SensorDefinition:
    """`<product>_retrain_on_drift`: one training run for persistent drift, when new labelled data can help."""
    train = f"{watched.name}_train"

    @dg.sensor(
        name=f"{watched.name}_retrain_on_drift",
        job_name=train,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Persistent drift, the cooldown over and new labelled data: then a new model can help",
        metadata={"mlops/watches": "drift verdicts"},
    )
    def sensor(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Any]) -> dg.SensorResult | dg.SkipReason:
        from datetime import UTC, datetime

        from mlops_assets.drift import retraining

        if is_running(context.instance, train):
            return dg.SkipReason(f"{train} is running; looking again when it has finished")
        now, labels = datetime.now(UTC), watched.learns_from_labels
        seen = retraining.due(database, watched.name, watched.policy, context.cursor, now, labels)
        if seen.run_key is None:
            return dg.SensorResult(skip_reason=dg.SkipReason(seen.said), cursor=seen.cursor)
        request = dg.RunRequest(run_key=seen.run_key, tags={"mlops/trigger": "drift", "mlops/drift": seen.said[:200]})
        return dg.SensorResult(run_requests=[request], cursor=seen.cursor)

    return sensor
