"""A product's scores as Dagster assets: scores by month, their overview, and the reference system's way beside them.

Each is thin: it calls a plain function and shows a person what came out. Keep out the steps (`scoring`, `overview`,
`compatibility`), tables for people (`shown`) and what makes these happen (`automation`).
"""

from typing import Any

import dagster as dg

from mlops_assets.batch.policy import BatchPolicy, Compatibility
from mlops_assets.runs.stages import Stage
from mlops_assets.training.records import FeatureSet
from mlops_assets.training.spec import Product

RATE_GATE = "rate_gate"
SCORES_SECONDS = 1800
OVERVIEW_SECONDS = 900
COMPATIBILITY_SECONDS = 1800


def months_of(policy: BatchPolicy) -> dg.MonthlyPartitionsDefinition:
    """Every month from the first one on, the present one too."""
    return dg.MonthlyPartitionsDefinition(start_date=policy.first_month, fmt="%Y-%m", end_offset=1)


def _common(product: Product, kinds: set[str]) -> dict[str, Any]:
    return {
        "group_name": product.name,
        "owners": [product.owner],
        "tags": {"stage": "batch_scoring"},
        "kinds": kinds,
    }


def scores_asset(product: Product, policy: BatchPolicy) -> dg.AssetsDefinition:
    """Months of records scored by what is production when the run loads it."""
    asset_key = dg.AssetKey([product.name, "scores"])
    stage = Stage(product.name, "scores", SCORES_SECONDS)

    @dg.asset(
        key=asset_key,
        partitions_def=months_of(policy),
        # All months of a backfill in one pass over the features.
        backfill_policy=dg.BackfillPolicy.single_run(),
        ins={"features": dg.AssetIn(dg.AssetKey([product.name, "features"]))},
        deps=[dg.AssetKey([product.name, "release"])],
        check_specs=[
            dg.AssetCheckSpec(RATE_GATE, asset=asset_key, description="no month after training has too many anomalies")
        ],
        op_tags=stage.op_tags,
        metadata={"mlops/watches": "ledger", "mlops/writes": "scores"},
        description=f"{product.title}: each month's records with their anomaly scores, by the production release",
        **_common(product, {"onnx", "parquet", "postgres"}),
    )
    @stage
    def scores(
        context: dg.AssetExecutionContext,
        features: FeatureSet,
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.batch import files, scoring, shown, store
        from mlops_assets.batch.figures import rate_gate
        from mlops_assets.batch.months import of_day
        from mlops_assets.batch.scorer import ScoringError
        from mlops_assets.training.feature_set import FeatureSetError

        months = context.partition_keys
        run = (database, storage, context.run.run_id, context.log.info)
        try:
            for done in scoring.score_months(product, policy, features, months, *run):
                context.add_asset_metadata(
                    {
                        **shown.figures(done.figures.records, done.figures.anomalies, done.figures.scores),
                        "release": done.release or 0,
                        "in_training": done.in_training,
                        "data_version": done.data_version,
                        "file": files.locate(storage, product.name, done.file),
                        "preview": dg.MetadataValue.md(shown.lowest_table(done.lowest)),
                    },
                    partition_key=of_day(done.month),
                )
        except (ScoringError, FeatureSetError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        gate = rate_gate(store.overview(database, product.name), policy.max_rate, policy.min_rows)
        context.log.info(gate.said)
        measured = {} if gate.rate is None else {"rate": round(gate.rate, 5)}
        return dg.MaterializeResult(
            check_results=[
                dg.AssetCheckResult(
                    check_name=RATE_GATE,
                    asset_key=asset_key,
                    passed=gate.passed,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=gate.said,
                    metadata={**measured, "limit": policy.max_rate, "months": gate.months},
                )
            ]
        )

    return scores


def overview_asset(product: Product) -> dg.AssetsDefinition:
    """All scored months at a glance, drawn anew by itself after months were scored."""
    stage = Stage(product.name, "scores_overview", OVERVIEW_SECONDS)

    @dg.asset(
        key=dg.AssetKey([product.name, "scores_overview"]),
        deps=[dg.AssetKey([product.name, "scores"])],
        automation_condition=dg.AutomationCondition.any_deps_updated().since_last_handled()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress(),
        op_tags=stage.op_tags,
        description=f"{product.title}: charts and the summary of all scored months",
        **_common(product, {"matplotlib", "plotly", "mlflow"}),
    )
    @stage
    def scores_overview(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
        tracking: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.batch import overview, shown

        page = dg.MetadataValue.url(f"{settings.console_url}/scores/{product.name}/report")
        done = overview.draw_overview(product, database, storage, context.log.info)
        if done is None:
            return dg.MaterializeResult(metadata={"said": "no month is scored yet", "page": page})
        context.log.info("logging charts and figures to MLflow")
        run_page = overview.track(product, done, tracking, context)
        figures = done.figures
        after = {} if figures.rate_after is None else {"rate_after_training": round(figures.rate_after, 5)}
        return dg.MaterializeResult(
            metadata={
                **shown.figures(figures.records, figures.anomalies, after),
                **done.facts,
                **{name: dg.MetadataValue.md(shown.inline(image)) for name, image in done.report.charts.items()},
                "summary": dg.MetadataValue.md(done.report.summary),
                "page": page,
                "folder": done.folder,
                "mlflow_run": dg.MetadataValue.url(run_page),
            }
        )

    return scores_overview


def compatibility_asset(product: Product, policy: BatchPolicy, compatibility: Compatibility) -> dg.AssetsDefinition:
    """Every record scored by a forest that is fitted to all of them; only ever made by hand."""
    stage = Stage(product.name, "compatibility_scores", COMPATIBILITY_SECONDS)

    @dg.asset(
        key=dg.AssetKey([product.name, "compatibility_scores"]),
        ins={"features": dg.AssetIn(dg.AssetKey([product.name, "features"]))},
        op_tags=stage.op_tags,
        metadata={"mlops/writes": "scores"},
        description=f"{product.title}: the reference system's fit-and-score-all, for comparison; made by hand",
        **_common(product, {"scikitlearn", "parquet", "mlflow"}),
    )
    @stage
    def compatibility_scores(
        context: dg.AssetExecutionContext,
        features: FeatureSet,
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
        tracking: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.batch import compatibility as mode
        from mlops_assets.batch import shown
        from mlops_assets.batch.scorer import ScoringError
        from mlops_assets.training.feature_set import FeatureSetError

        run = (database, storage, context.run.run_id, context.log.info)
        try:
            done = mode.score_all(product, policy, compatibility, features, *run)
        except (ScoringError, FeatureSetError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info(f"{done.anomalies:,} of {done.records:,} are anomalies; logging to MLflow")
        run_page = mode.track(product, compatibility, features, done, tracking, context)
        compared = {}
        if done.comparison is not None:
            compared = {"beside_production": dg.MetadataValue.md(shown.comparison_table(done.comparison))}
        return dg.MaterializeResult(
            metadata={
                **shown.figures(done.records, done.anomalies, done.scores),
                "data_version": features.dataset.version,
                **compared,
                "difference": done.difference,
                "lowest": dg.MetadataValue.md(shown.lowest_table(done.lowest)),
                **{name: dg.MetadataValue.md(shown.inline(image)) for name, image in done.report.charts.items()},
                "summary": dg.MetadataValue.md(done.report.summary),
                "file": done.file,
                "mlflow_run": dg.MetadataValue.url(run_page),
            }
        )

    return compatibility_scores
