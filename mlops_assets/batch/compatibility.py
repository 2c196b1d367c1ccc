"""The reference system's way: a forest fitted to all records scores all records, by their own columns alone.

Explicit and apart from production: nothing else reads its scores, and no release comes of it. Keep out the months'
rules of production (`scoring`) and the comparison's figures (`compared`).
"""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.batch import compared, files, overview, presented, scoring, store
from mlops_assets.batch.compared import Comparison
from mlops_assets.batch.months import day_of
from mlops_assets.batch.overview import Heard, Report
from mlops_assets.batch.policy import BatchPolicy, Compatibility
from mlops_assets.batch.scorer import Scorer, ScoringError, production
from mlops_assets.batch.scoring import Scored
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training import detecting, feature_set
from mlops_assets.training.data.spec import Features
from mlops_assets.training.detecting import PREDICTION
from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.isolation_graph import to_onnx
from mlops_assets.training.records import FeatureSet
from mlops_assets.training.released import MODEL_FILE
from mlops_assets.training.spec import SCORE, Product

if TYPE_CHECKING:
    import dagster as dg
    import pandas as pd

    from mlops_assets.training.tracking import Tracking

NAME = "all"


@dataclass(frozen=True)
class Compatible:
    """What came out: the scores' figures, the report, the graph, the file, and the comparison with production's.

    `lowest` are the lowest scores of all. `comparison` is None where production scored none of these records.
    """

    records: int
    anomalies: int
    scores: dict[str, float | None]
    lowest: tuple[store.Lowest, ...]
    report: Report
    graph: bytes
    file: str
    comparison: Comparison | None
    difference: str


def score_all(
    product: Product,
    policy: BatchPolicy,
    compatibility: Compatibility,
    features: FeatureSet,
    database: Database,
    storage: Storage,
    run_id: str | None,
    heard: Heard,
) -> Compatible:
    """Fit, score, keep and draw. Raises ScoringError, FeatureSetError or StorageError."""
    facts = scoring.month_facts(product, features, storage)
    table = feature_set.read_to_learn(product, features, storage)
    rows = feature_set.own_columns(table)
    heard(f"fitting {compatibility.trees} trees to {len(rows):,} records")
    scorer = fit(product, compatibility, rows)
    heard("scoring them")
    encoder = scorer.model.encoder
    scored = scoring.score(product, scorer, rows, rows[[*encoder.numeric, *encoder.categorical]])
    counts = scoring.counted(product, scored)
    odd = scoring.lowest(product, scored, scorer, policy.top)
    whole = files.table_of(scored.rows, scored.score).take(scored.order)
    written = files.write(storage, product.name, (store.COMPATIBILITY,), NAME, whole)
    months = [
        store.Month(
            product=product.name,
            mode=store.COMPATIBILITY,
            month=day_of(month),
            release=None,
            data_version=features.dataset.version,
            rows_sha256=str(facts[month]["sha256"]),
            in_training=True,
            figures=counts.figures(part),
            file=written.file,
            file_sha256=written.sha256,
            lowest=odd[month],
            run_id=run_id,
        )
        for month, part in scored.places.items()
    ]
    store.replace(database, product.name, store.COMPATIBILITY, months)
    kept = store.overview(database, product.name, store.COMPATIBILITY)
    frame = presented.frame(product, kept, store.lowest(database, product.name, store.COMPATIBILITY), storage)
    title = f"{product.title}: every record scored by a forest fitted to all of them"
    told = {"Data": f"V{features.dataset.version}", "Trees": f"{compatibility.trees}", "Seed": f"{compatibility.seed}"}
    found, sentence = _beside_production(product, scorer, scored, database, storage)
    everything = counts.figures(slice(0, len(scored.score)))
    return Compatible(
        records=everything.records,
        anomalies=everything.anomalies,
        scores=everything.scores,
        lowest=tuple(sorted((one for those in odd.values() for one in those), key=lambda one: one.score)[: policy.top]),
        report=overview.report(frame, title, told, product, heard),
        graph=to_onnx(scorer.model),
        file=files.locate(storage, product.name, written.file),
        comparison=found,
        difference=sentence,
    )


def fit(product: Product, compatibility: Compatibility, rows: pd.DataFrame) -> Scorer:
    """The reference's forest: all rows, their own columns, no release."""
    columns = Features(numeric=compatibility.numeric, categorical=compatibility.categorical)
    missing = [name for name in (*columns.numeric, *columns.categorical) if name not in rows]
    if missing:
        raise ScoringError(f"compatibility: the records of {product.name} have no column {', '.join(missing)}")
    model = IsolationModel.fit(
        rows, columns.numeric, columns.categorical, trees=compatibility.trees, seed=compatibility.seed
    )
    explained = product.model_copy(update={"features": columns})
    explainer = detecting.explainer(explained, importlib.import_module(product.functions), rows)
    return Scorer(NAME, None, None, model, explainer)


def track(
    product: Product,
    compatibility: Compatibility,
    features: FeatureSet,
    done: Compatible,
    tracking: Tracking,
    context: dg.AssetExecutionContext,
) -> str:
    """Log parameters, figures, report and graph to MLflow; the run's page."""
    tags = {"product": product.name, "kind": store.COMPATIBILITY}
    with tracking.run(product.experiment_name, context, tags) as run:
        run.log_params(
            {
                "trees": compatibility.trees,
                "seed": compatibility.seed,
                "contamination": "auto",
                "numeric": len(compatibility.numeric),
                "categorical": len(compatibility.categorical),
                "data_version": features.dataset.version,
            }
        )
        run.log_metrics(
            {
                "anomaly_rate": done.anomalies / done.records,
                "n_anomalies": done.anomalies,
                "records": done.records,
                **{name: value for name, value in done.scores.items() if value is not None},
            }
        )
        overview.log_report(run, done.report)
        with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
            (Path(folder) / MODEL_FILE).write_bytes(done.graph)
            run.log_artifact(str(Path(folder) / MODEL_FILE), artifact_path="model")
        active = run.active_run()
        return tracking.run_page(active.info.experiment_id, active.info.run_id)


def _beside_production(
    product: Product, scorer: Scorer, scored: Scored, database: Database, storage: Storage
) -> tuple[Comparison | None, str]:
    import pandas as pd

    months = [month for month in store.overview(database, product.name) if month.records]
    if not months:
        return None, "Production has scored nothing yet: there is nothing to compare with."
    theirs = pd.concat(
        [files.read(storage, product.name, month.file, month.file_sha256) for month in months], ignore_index=True
    )
    found = compared.compare(
        scored.rows, scored.score, theirs.drop(columns=[SCORE, PREDICTION]), theirs[SCORE].to_numpy()
    )
    theirs_by = production(product, database, storage)
    return found, compared.difference(scorer.model, theirs_by.model, theirs_by.trained_until)
