"""When a product trains: its job, its weekly schedule, and the sensor on new data.

Keep out what training does (`assets`) and reactions to serving, which belong to `rollout` and `drift`.
"""

from typing import Any

import dagster as dg

from mlops_assets.rollout.automation import is_running
from mlops_assets.runs.schedules import running_schedule
from mlops_assets.training.spec import Product

SENSOR_SECONDS = 30
# Which product a run trains; dagster.yaml limits how many of these are in progress.
TRAINING_TAG = "mlops/training"
# Why a run began.
TRIGGER_TAG, NEW_DATA = "mlops/trigger", "new_data"


def train_job(product: Product) -> Any:
    """`<product>_train`: every stage from the source to the release."""
    return dg.define_asset_job(
        f"{product.name}_train",
        selection=dg.AssetSelection.assets(dg.AssetKey([product.name, "release"])).upstream(),
        description=f"{product.title}: data, features, model, gates, release",
        tags={
            "product": product.name,
            TRAINING_TAG: product.name,
            "dagster/max_runtime": str(product.run_timeout_seconds),
        },
    )


def train_schedule(product: Product, job: Any) -> dg.ScheduleDefinition:
    """`<job>_schedule`, as declared; running from the start."""
    described = "Trains anew even without new data, so that a release never gets old unseen"
    return running_schedule(job, product.schedule, described)


def data_sensor(product: Product, job: Any) -> dg.SensorDefinition:
    """`<product>_train_on_new_data`: one run for each content of the source that was never trained on."""

    @dg.sensor(
        name=f"{product.name}_train_on_new_data",
        job=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Watches the source; a new content becomes a new data version and a training run",
        metadata={"mlops/watches": "source"},
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
    ) -> dg.SensorResult | dg.SkipReason:
        from mlops_assets.training.data import watch

        location = settings.source_of(product.name) or product.source.location
        if location is None:
            return dg.SkipReason("no source is declared: the product trains on its sample data")
        busy = dg.SkipReason(f"{job.name} is running; looking again when it has finished")
        if is_running(context.instance, job.name):
            return busy
        seen = watch.look(product, location, context.cursor, database)
        if seen.run_key is None:
            return dg.SensorResult(skip_reason=dg.SkipReason(seen.said), cursor=seen.cursor)
        # Fetching takes a while, and a run that began meanwhile may have read the same content.
        if is_running(context.instance, job.name):
            return busy
        request = dg.RunRequest(run_key=seen.run_key, tags={TRIGGER_TAG: NEW_DATA, "mlops/source": seen.said})
        return dg.SensorResult(run_requests=[request], cursor=seen.cursor)

    return sensor
