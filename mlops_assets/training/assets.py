"""The stages of a product as Dagster assets: dataset → features → model → metrics → release.

Each stage is thin: it calls plain functions, hands on a record, and shows a person what it made. Add a stage
here together with its record. Keep out rules, maths and formats; those have files of their own.
"""

import importlib
from typing import Any

import dagster as dg

from mlops_assets.runs.retries import RETRY
from mlops_assets.runs.stages import Stage
from mlops_assets.training import checks
from mlops_assets.training.records import DataVersion, FeatureSet, Measured, Released, TrainedModel
from mlops_assets.training.spec import Product

PREVIEW_ROWS = 8


def key(product: Product, stage: str) -> dg.AssetKey:
    """`<product>/<stage>`."""
    return dg.AssetKey([product.name, stage])


def stage_of(product: Product, name: str) -> Stage:
    """The rules of a stage, with the product's limit."""
    return Stage(product.name, name, getattr(product.limits, name), RETRY)


def product_assets(product: Product) -> list[dg.AssetsDefinition]:
    """Every stage of one product, in order."""
    return [
        dataset_asset(product),
        features_asset(product),
        model_asset(product),
        metrics_asset(product),
        release_asset(product),
    ]


def _common(product: Product, stage_type: str, kinds: set[str]) -> dict[str, Any]:
    return {
        "group_name": product.name,
        "owners": [product.owner],
        "tags": {"stage": stage_type},
        "kinds": kinds,
        # A MaterializeResult that carries a value and checks has no annotation that Dagster can read.
        "dagster_type": dg.Any,
    }


def _functions(product: Product) -> Any:
    return importlib.import_module(product.functions)


def _table(frame: Any) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(frame.head(PREVIEW_ROWS).to_markdown(index=False))


def _counts(counts: dict[str, int]) -> dg.MarkdownMetadataValue:
    rows = ["| | rows |", "|---|---|", *(f"| {name} | {n:,} |" for name, n in counts.items())]
    return dg.MetadataValue.md("\n".join(rows) if counts else "none")


def _beside(measured: Measured) -> str:
    """Every metric next to production's on the same rows."""
    production = measured.production_metrics or {}
    rows = ["| metric | this model | production |", "|---|---|---|"]
    for name, value in sorted(measured.metrics.items()):
        beside = f"{production[name]:.4g}" if name in production else ""
        rows.append(f"| {name} | {value:.4g} | {beside} |")
    return "\n".join(rows)


def dataset_asset(product: Product) -> dg.AssetsDefinition:
    """The product's raw file, cleaned, checked against its contract and kept as a numbered version."""
    asset_key = key(product, "dataset")
    specs = checks.contract_specs(product, asset_key)
    stage = stage_of(product, "dataset")

    @dg.asset(
        key=asset_key,
        check_specs=specs,
        op_tags=stage.op_tags,
        metadata={"mlops/watches": "source"},
        description=f"{product.title}: the source's rows, cleaned and kept as version V1, V2, …",
        **_common(product, "data_ingestion", {"pandas", "parquet"}),
    )
    @stage
    def dataset(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.training.data import ingest

        try:
            got = ingest.ingest(product, database, storage, settings.source_of(product.name))
        except ingest.REFUSED as error:
            # Trying again helps only where the source may answer differently.
            raise dg.Failure(str(error), allow_retries=getattr(error, "transient", False)) from error
        version = got.version
        label = "SAMPLE DATA, not real. " if version.sample else ""
        context.log.info(f"{label}data version V{version.version}: {version.rows:,} rows from {version.source}")
        return dg.MaterializeResult(
            value=version,
            metadata={
                "dagster/row_count": version.rows,
                "version": version.version,
                "rows": version.rows,
                "dropped": sum(got.dropped.values()),
                "live_rows": got.live_rows,
                "sample_data": version.sample,
                "source": version.source,
                "sha256": version.sha256,
                "dropped_by_reason": _counts(got.dropped),
                "odd_formats": _counts(got.handled),
                "preview": _table(got.head),
            },
            data_version=dg.DataVersion(version.sha256),
            check_results=list(checks.contract_results(specs, got.findings, version.source)),
        )

    return dataset


def features_asset(product: Product) -> dg.AssetsDefinition:
    """Model columns of the data version, and the split made once for its content."""
    stage = stage_of(product, "features")

    @dg.asset(
        key=key(product, "features"),
        op_tags=stage.op_tags,
        ins={"dataset": dg.AssetIn(key(product, "dataset"))},
        description="Model columns, row by row through the product's `features`, and the hold-out's rows.",
        **_common(product, "feature_engineering", {"pandas", "parquet"}),
    )
    @stage
    def features(
        context: dg.AssetExecutionContext,
        dataset: DataVersion,
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.training import feature_set
        from mlops_assets.training.data import ingest

        with ingest.rows_file(product, dataset, database, storage) as rows:
            record, head = feature_set.make(
                product, _functions(product).features, dataset, rows, storage, context.run.run_id
            )
        return dg.MaterializeResult(
            value=record,
            metadata={
                "dagster/row_count": record.rows,
                "train_rows": record.train_rows,
                "holdout_rows": record.holdout_rows,
                **({"trained_until": record.trained_until} if record.trained_until else {}),
                "columns": len(product.features.numeric) + len(product.features.categorical),
                "file": storage.at(product.name, "features").locate(record.file),
                "preview": _table(head[[c for c in head.columns if str(c).startswith("full.")]]),
            },
        )

    return features


def model_asset(product: Product) -> dg.AssetsDefinition:
    """The fitted model, the search's winner or the detector, and the ONNX graph that will serve."""
    stage = stage_of(product, "model")
    families = ", ".join(c.family for c in product.search.candidates)

    @dg.asset(
        key=key(product, "model"),
        op_tags=stage.op_tags,
        ins={"features": dg.AssetIn(key(product, "features"))},
        description=(
            f"The best of {families} by cross-validation."
            if product.detector is None
            else "An isolation forest of the months to train on, and its twins of other seeds."
        ),
        **_common(product, "model_training", {"scikitlearn", "onnx", "mlflow"}),
    )
    @stage
    def model(
        context: dg.AssetExecutionContext,
        features: FeatureSet,
        settings: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
        tracking: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.training import learning

        made = learning.learn(product, features, settings, storage, tracking, context)
        record = made.record
        return dg.MaterializeResult(
            value=record,
            metadata={
                "family": record.family,
                record.score: record.validation,
                "rows_fitted": made.rows,
                "trials": len(made.trials),
                "worked_on": made.worked_on,
                "parameters": dg.MetadataValue.json(record.params),
                "search": _table(made.trials),
                "mlflow_run": dg.MetadataValue.url(made.page),
                "folder": record.folder,
            },
        )

    return model


def metrics_asset(product: Product) -> dg.AssetsDefinition:
    """The served graph's metrics on the untouched hold-out, beside production's, and the gates on them."""
    asset_key = key(product, "metrics")
    stage = stage_of(product, "metrics")

    @dg.asset(
        key=asset_key,
        ins={"model": dg.AssetIn(key(product, "model"))},
        check_specs=checks.gate_specs(product, asset_key),
        op_tags=stage.op_tags,
        description="Measured once on rows that neither training nor the search saw.",
        **_common(product, "model_evaluation", {"onnx", "mlflow"}),
    )
    @stage
    def metrics(
        context: dg.AssetExecutionContext,
        model: TrainedModel,
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
        tracking: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.training import measuring

        found = measuring.measure(product, model, database, storage, tracking, context)
        results = [
            *checks.gate_results(asset_key, found.verdicts),
            checks.parity_result(asset_key, found.record.parity, product.parity_tolerance, model.features.holdout_rows),
        ]
        segments = {f"by_{name}": _table(table) for name, table in found.evaluation.segments.items()}
        return dg.MaterializeResult(
            value=found.record,
            metadata={
                **{name: checks.shown(round(found.record.metrics[name], 4)) for name in found.headline},
                "production_release": found.record.production_version or 0,
                **{name: dg.MetadataValue.md(image) for name, image in found.images.items()},
                **segments,
                "beside_production": dg.MetadataValue.md(_beside(found.record)),
                "charts": dg.MetadataValue.json(found.chart_files),
            },
            check_results=results,
        )

    return metrics


def release_asset(product: Product) -> dg.AssetsDefinition:
    """The gated model as a release: files, registered model, Bento and the ledger's row."""
    stage = stage_of(product, "release")

    @dg.asset(
        key=key(product, "release"),
        op_tags=stage.op_tags,
        ins={"metrics": dg.AssetIn(key(product, "metrics"))},
        metadata={"mlops/writes": "ledger"},
        description="Becomes production if nothing is, else the candidate. Blocked by any failed gate.",
        **_common(product, "model_registration", {"onnx", "bentoml", "mlflow"}),
    )
    @stage
    def release(
        context: dg.AssetExecutionContext,
        metrics: Measured,
        settings: dg.ResourceParam[Any],
        database: dg.ResourceParam[Any],
        storage: dg.ResourceParam[Any],
        tracking: dg.ResourceParam[Any],
    ) -> dg.MaterializeResult:
        from mlops_assets.training import releasing

        done = releasing.release(product, metrics, settings, database, storage, tracking, context)
        record: Released = done.record
        context.log.info(f"release {record.version} of {product.name}: {done.role}")
        return dg.MaterializeResult(
            value=record,
            metadata={
                "release": record.version,
                "role": done.role,
                "label": ", ".join(done.labels),
                "files": record.uri,
                "bento": record.bento,
                "serve_it_alone": f"BENTOML_HOME={done.bento_home} bentoml serve {record.bento}",
                "registered_model": dg.MetadataValue.url(done.model_page),
                "dagster_run": context.run.run_id,
            },
        )

    return release
