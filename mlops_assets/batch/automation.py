"""When months are scored: the job, and the sensor that asks for months whose records aren't scored as they are now.

Keep out which months those are (`months`) and what scoring does (`scoring`). A newer release alone scores nothing
anew: a backfill by hand does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from mlops_assets.batch.policy import BatchPolicy
from mlops_assets.rollout.automation import UNFINISHED, is_running
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    from mlops_assets.batch.months import Due
    from mlops_assets.batch.store import Kept

SENSOR_SECONDS = 30


def score_job(product: Product) -> Any:
    """`<product>_score`: one month or a range of months in one run."""
    return dg.define_asset_job(
        f"{product.name}_score",
        selection=dg.AssetSelection.assets(_scores(product)),
        description=f"{product.title}: months of records scored by the production release",
        tags={"product": product.name, "dagster/max_runtime": "3600"},
    )


def months_sensor(product: Product, policy: BatchPolicy, job: Any) -> dg.SensorDefinition:
    """`<product>_score_on_new_months`: a run for each stretch of months that came, changed or went."""

    @dg.sensor(
        name=f"{product.name}_score_on_new_months",
        job=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compares the newest features with what is scored; new or changed months are scored",
        metadata={"mlops/watches": "scores, ledger"},
    )
    def sensor(
        context: dg.SensorEvaluationContext, database: dg.ResourceParam[Any], storage: dg.ResourceParam[Any]
    ) -> list[dg.RunRequest] | dg.SkipReason:
        from datetime import UTC, datetime

        from mlops_assets.batch import months, store
        from mlops_assets.batch.scorer import ScoringError
        from mlops_assets.batch.scoring import month_facts
        from mlops_assets.rollout.ledger import Ledger
        from mlops_assets.storage.files import MissingFileError
        from mlops_assets.training.records import FeatureSet

        if is_running(context.instance, job.name) or _is_being_made(context.instance, _scores(product)):
            return dg.SkipReason("months are being scored; looking again when that has finished")
        release = Ledger(database).state(product.name).production
        if release is None:
            return dg.SkipReason(f"{product.name} has no production release yet: nothing can score")
        newest = context.instance.get_latest_materialization_event(dg.AssetKey([product.name, "features"]))
        if newest is None:
            return dg.SkipReason(f"{product.name} has no features yet: there is nothing to score")
        records = storage.at("references", product.name, "features")
        try:
            features = FeatureSet.model_validate(records.read_json(f"{newest.run_id}.json"))
            present = {month: str(facts["sha256"]) for month, facts in month_facts(product, features, storage).items()}
        except (ScoringError, MissingFileError) as error:
            return dg.SkipReason(str(error))
        kept = store.kept(database, product.name)
        today = datetime.now(UTC).date()
        known = {month: one.rows_sha256 for month, one in kept.items()}
        due = months.due(present, known, policy.first_month, months.of_day(today))
        if not due.stretches:
            return dg.SkipReason(f"all {len(kept)} months are scored as they are{left_out(due)}")
        context.log.info(f"{len(due.months)} months to score{left_out(due)}")
        return [_request(stretch, today, release, present, kept) for stretch in due.stretches]

    return sensor


def left_out(due: "Due") -> str:
    """What isn't scored although there are records, as the end of a sentence."""
    early, late = (f"{len(m)} {word}" for m, word in ((due.early, "before the first month"), (due.late, "in future")))
    told = [text for text, some in ((early, due.early), (late, due.late)) if some]
    return f"; months with records that aren't: {', '.join(told)}" if told else ""


def _request(
    stretch: Sequence[str], today: date, release: int, present: Mapping[str, str], kept: Mapping[str, "Kept"]
) -> dg.RunRequest:
    """A run for these months. Its key tells their content, the release and what is replaced: asked for once a day, so
    that what failed is tried again, but not every half a minute."""
    replaced = {month: kept[month].scored_at.isoformat() if month in kept else "" for month in stretch}
    content = "\n".join(f"{month} {present.get(month, '')} {replaced[month]}" for month in stretch)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return dg.RunRequest(
        run_key=f"{stretch[0]} to {stretch[-1]}, release {release}, {digest}, {today}",
        tags={
            ASSET_PARTITION_RANGE_START_TAG: stretch[0],
            ASSET_PARTITION_RANGE_END_TAG: stretch[-1],
            "mlops/trigger": "new_months",
        },
    )


def _is_being_made(instance: dg.DagsterInstance, key: dg.AssetKey) -> bool:
    """Whether an unfinished run makes the asset, such as one of a backfill: those have no job of ours."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return any(key in (run.asset_selection or ()) for run in runs)


def _scores(product: Product) -> dg.AssetKey:
    return dg.AssetKey([product.name, "scores"])
