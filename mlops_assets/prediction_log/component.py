"""What Dagster knows about a product's prediction log: its hourly export and its daily retention.

Merged into the product's own definitions. Keep out what is exported (`exporting`), which hours are due (`hours`)
and what is removed (`retention`).
"""

from datetime import timedelta
from typing import Any

import dagster as dg

from mlops_assets.prediction_log.exporting import ExportError, export_hour
from mlops_assets.prediction_log.hours import FIRST_HOUR, due_hours
from mlops_assets.prediction_log.retention import Removed, remove_old
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.runs.schedules import fresh_daily, running_schedule
from mlops_assets.runs.stages import Stage

EXPORT_CRON = "10 * * * *"
RETENTION_CRON = "40 3 * * *"
PARTITION_FORMAT = "%Y-%m-%d-%H:%M"
HOURS = dg.HourlyPartitionsDefinition(start_date=FIRST_HOUR, timezone="UTC", fmt=PARTITION_FORMAT)
# Each hour is exported, also one without traffic.
STALE = timedelta(hours=3)
STAGE_SECONDS = 900
DAILY = "Removes once a day what was exported and is old, when little else runs"


def log_definitions(product_name: str, title: str, owner: str, policy: RolloutPolicy) -> dg.Definitions:
    """Two assets with a job and a running schedule each. Resources: `database`, `storage`.

    They have a group of their own: nobody can materialise a group as a whole when an asset in it has partitions.
    """
    common: dict[str, Any] = {
        "group_name": f"{product_name}_log",
        "owners": [owner],
        "tags": {"stage": "prediction_log"},
        "kinds": {"postgres", "parquet"},
    }
    export = _export_asset(product_name, title, common)
    retention = _retention_asset(product_name, title, policy, common | {"kinds": {"postgres"}})
    export_job = dg.define_asset_job(
        f"{product_name}_log_export",
        selection=[export],
        description=f"{title}: hours of the prediction log to Parquet",
        tags={"product": product_name},
    )
    retention_job = dg.define_asset_job(
        f"{product_name}_log_retention",
        selection=[retention],
        description=f"{title}: removes exported days of the prediction log after {policy.log_retention_days} days",
        tags={"product": product_name},
    )
    return dg.Definitions(
        assets=[export, retention],
        jobs=[export_job, retention_job],
        schedules=[_export_schedule(product_name, export_job), running_schedule(retention_job, RETENTION_CRON, DAILY)],
    )


def _export_asset(product_name: str, title: str, common: dict[str, Any]) -> dg.AssetsDefinition:
    stage = Stage(product_name, "prediction_log", STAGE_SECONDS)

    @dg.asset(
        key=dg.AssetKey([product_name, "prediction_log"]),
        partitions_def=HOURS,
        op_tags=stage.op_tags,
        metadata={"mlops/watches": "prediction log"},
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=STALE),
        description=f"{title}: the predictions answered and the feedback given in one hour, as two Parquet files",
        **common,
    )
    @stage
    def prediction_log(
        context: dg.AssetExecutionContext,
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        hour = context.partition_time_window.start
        try:
            done = export_hour(database, storage, product_name, hour)
        except ExportError as error:
            raise dg.Failure(str(error), allow_retries=error.transient) from error
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": done.predictions,
                "predictions": done.predictions,
                "feedback": done.feedback,
                "folder": done.uri,
                "newest_batch": done.max_batch,
                "by_variant": _table([{"variant": v, "predictions": n} for v, n in sorted(done.variants.items())]),
                "preview": _table([dict(row) for row in done.preview]),
            }
        )

    return prediction_log


def _retention_asset(
    product_name: str, title: str, policy: RolloutPolicy, common: dict[str, Any]
) -> dg.AssetsDefinition:
    stage = Stage(product_name, "log_retention", STAGE_SECONDS)

    @dg.asset(
        key=dg.AssetKey([product_name, "log_retention"]),
        op_tags=stage.op_tags,
        freshness_policy=fresh_daily(RETENTION_CRON),
        description=f"{title}: days of the prediction log that left the database; their files stay longer",
        **common,
    )
    @stage
    def log_retention(context: dg.AssetExecutionContext, database: dg.ResourceParam[Any]) -> dg.MaterializeResult:
        from datetime import UTC, datetime

        done = remove_old(database, product_name, policy.log_retention_days, datetime.now(UTC))
        for day, reason in done.kept:
            context.log.warning(f"{day} stays in the log: {reason}")
        return dg.MaterializeResult(metadata=_removed(done))

    return log_retention


def _removed(done: Removed) -> dict[str, Any]:
    return {
        "days": [str(day) for day in done.days],
        "dropped_partitions": done.dropped_partitions,
        "predictions": done.predictions,
        "feedback": done.feedback,
        "request_failures": done.failures,
        "kept": _table([{"day": str(day), "because": reason} for day, reason in done.kept]),
    }


def _export_schedule(product_name: str, job: Any) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"{job.name}_schedule",
        job=job,
        cron_schedule=EXPORT_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The last finished hour, hours that were missed, and hours that got later rows",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Any]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        due = due_hours(database, product_name, now)
        if due.more:
            context.log.info("more hours wait for the next time")
        if not due.hours:
            return dg.SkipReason("every finished hour is exported with its newest rows")
        # A key for each tick: an hour is due again whenever it got later rows, and after a run of it failed.
        keys = [hour.strftime(PARTITION_FORMAT) for hour in due.hours]
        return [dg.RunRequest(run_key=f"{key} at {now:{PARTITION_FORMAT}}", partition_key=key) for key in keys]

    return schedule


def _table(rows: list[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """A Markdown table; "none" for no rows. Bars in a value would end its cell."""
    if not rows:
        return dg.MetadataValue.md("none")
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([*row.values()] for row in rows)]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(_cell(v) for v in line) + " |" for line in lines))


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
