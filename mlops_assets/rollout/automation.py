"""When looks happen and what follows a rollback: the hourly job, the guardrail sensor, the retrain sensor.

Keep out what a look does (`looking`) and whether it is time to train again (`retraining`).
"""

from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from mlops_assets.rollout.assets import HOUR_TAG, RETENTION_CRON, Group
from mlops_assets.runs.schedules import running_schedule

SENSOR_SECONDS = 30
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def is_running(instance: dg.DagsterInstance, job: str) -> bool:
    """Whether a run of the job is queued or at work."""
    return bool(instance.get_runs_count(RunsFilter(job_name=job, statuses=UNFINISHED)))


def rollout_job(group: Group) -> Any:
    """`<product>_rollout`: evidence, verdict, chart."""
    return dg.define_asset_job(
        f"{group.name}_rollout",
        selection=dg.AssetSelection.assets(*(group.key(f"rollout_{s}") for s in ("evidence", "verdict", "chart"))),
        description=f"{group.title}: a look at the candidate beside production, and what follows from it",
        tags={"product": group.name, "dagster/max_runtime": "600"},
    )


def retention_job(group: Group) -> Any:
    """`<product>_release_retention`: archived releases."""
    return dg.define_asset_job(
        f"{group.name}_release_retention",
        selection=dg.AssetSelection.assets(group.key("release_retention")),
        description=f"{group.title}: marks old releases as archived",
        tags={"product": group.name, "dagster/max_runtime": "600"},
    )


def retention_schedule(job: Any) -> dg.ScheduleDefinition:
    """`<job>_schedule`: once a day."""
    return running_schedule(job, RETENTION_CRON, "Archives once a day, when little else runs")


def rollout_schedule(group: Group, job: Any) -> dg.ScheduleDefinition:
    """`<job>_schedule`: every hour in which something is compared."""

    @dg.schedule(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule="0 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="A verdict every hour; the statistics hold however often one looks",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Any]
    ) -> dg.RunRequest | dg.SkipReason:
        from mlops_assets.rollout.ledger import Ledger
        from mlops_assets.rollout.looking import nothing_to_compare

        why = nothing_to_compare(Ledger(database).state(group.name))
        if why is not None:
            return dg.SkipReason(why)
        hour = f"{context.scheduled_execution_time:%Y-%m-%dT%H:00Z}"
        return dg.RunRequest(tags={HOUR_TAG: hour})

    return schedule


def guardrail_sensor(group: Group, job: Any) -> dg.SensorDefinition:
    """`<product>_roll_back_on_guardrail`: a broken candidate loses its users within the minute."""

    @dg.sensor(
        name=f"{group.name}_roll_back_on_guardrail",
        job=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks at the evidence itself and rolls back at once; then a run shows it",
        metadata={"mlops/watches": "prediction log", "mlops/writes": "ledger"},
    )
    def sensor(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Any]) -> dg.RunRequest | dg.SkipReason:
        from datetime import UTC, datetime

        from mlops_assets.rollout.ledger import Conflict, Ledger
        from mlops_assets.rollout.looking import look_once

        try:
            result = look_once(
                Ledger(database),
                database,
                group.name,
                group.policy,
                now=datetime.now(UTC),
                record_only_if_decisive=True,
            )
        except Conflict as conflict:
            return dg.SkipReason(f"others decided meanwhile; looking again: {conflict}")
        if result.recorded and result.verdict == "roll_back":
            tags = {"mlops/trigger": "guardrail", "mlops/ledger_seq": str(result.state.seq)}
            return dg.RunRequest(run_key=f"{group.name}-rolled-back-{result.state.seq}", tags=tags)
        return dg.SkipReason(result.said)

    return sensor


def retrain_sensor(group: Group) -> dg.SensorDefinition:
    """`<product>_retrain_on_rollback`: one training run for each rollback, not more often than the cooldown."""
    train = f"{group.name}_train"

    @dg.sensor(
        name=f"{group.name}_retrain_on_rollback",
        job_name=train,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A release that was withdrawn is followed by a newer one",
        metadata={"mlops/watches": "ledger"},
    )
    def sensor(context: dg.SensorEvaluationContext, database: dg.ResourceParam[Any]) -> dg.SensorResult | dg.SkipReason:
        from datetime import UTC, datetime

        from mlops_assets.rollout import retraining

        if is_running(context.instance, train):
            return dg.SkipReason(f"{train} is running; looking again when it has finished")
        seen = retraining.due(database, group.name, group.policy, context.cursor, datetime.now(UTC))
        if seen.seq is None:
            return dg.SensorResult(skip_reason=dg.SkipReason(seen.said), cursor=seen.cursor)
        tags = {"mlops/trigger": "rollback", "mlops/ledger_seq": str(seen.seq)}
        request = dg.RunRequest(run_key=f"{group.name}-retrain-{seen.seq}", tags=tags)
        return dg.SensorResult(run_requests=[request], cursor=seen.cursor)

    return sensor
