"""The metrics stage: the served graph on the hold-out, production beside it, gates, parity and charts.

Add here what is measured and shown of a finished model. Keep out formulas (`scores`), limits (`gates`) and
drawing (`charts`).
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.storage.folders import fetch_folder
from mlops_assets.training import charts, evaluate, export, feature_set, gates, released
from mlops_assets.training.columns import views
from mlops_assets.training.gates import Verdict
from mlops_assets.training.importance import permutation_importance
from mlops_assets.training.learning import MODEL_GRAPH, MODEL_PICKLE
from mlops_assets.training.records import Measured, TrainedModel
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import DAGSTER_RUN_TAG, Tracking

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.training.fit import Model

INLINE = ("predicted_vs_actual", "feature_importance", "confusion")


class ModelFileError(RuntimeError):
    """A kept model file isn't what the model stage wrote."""


@dataclass(frozen=True)
class Found:
    """The record with everything that is shown of it."""

    record: Measured
    evaluation: evaluate.Evaluation
    verdicts: list[Verdict]
    headline: tuple[str, ...]
    images: dict[str, str]
    chart_files: dict[str, str]


def measure(
    product: Product,
    trained: TrainedModel,
    database: Database,
    storage: Storage,
    tracking: Tracking,
    context: dg.AssetExecutionContext,
) -> Found:
    """Measure a trained model once, on rows that it never saw, and judge it by the product's gates."""
    functions = importlib.import_module(product.functions)
    table = feature_set.read(product, trained.features, storage)
    train_rows, holdout = feature_set.side(table, holdout=False), feature_set.side(table, holdout=True)
    model, graph = load_model(product, trained, storage)
    served = released.OnnxModel(graph)
    evaluation = evaluate.evaluate(
        served,
        product,
        functions.features,
        holdout,
        train_rows=train_rows,
        segments=segments(product),
        classes=list(model.scale.classes),
    )
    version, production = production_metrics(product, functions.features, holdout, database, storage)
    verdicts = [gates.judge(g, evaluation.metrics, evaluation.segments, production) for g in product.gates]
    record = Measured(
        model=trained,
        metrics=evaluation.metrics,
        production_version=version,
        production_metrics=production,
        parity=export.parity(model, graph, views(functions.features, holdout, product.features)),
    )
    drawn = draw(product, model, functions.features, holdout, evaluation)
    folder = storage.at(product.name, "charts", context.run.run_id)
    for name, image in drawn.items():
        folder.write_bytes(f"{name}.png", image)
    _track(product, trained, record, verdicts, drawn, tracking, context)
    return Found(
        record=record,
        evaluation=evaluation,
        verdicts=verdicts,
        headline=tuple(name for name in _headline(product) if name in evaluation.metrics),
        images={name: _inline(drawn[name]) for name in INLINE if name in drawn},
        chart_files={name: folder.locate(f"{name}.png") for name in drawn},
    )


def load_model(product: Product, trained: TrainedModel, storage: Storage) -> tuple[Model, bytes]:
    """The fitted model and its graph, each checked against its hash before it is opened.

    The pickle is this platform's own, is only read by training, and only once its hash is right.
    """
    import joblib

    folder = storage.at(product.name, "models", trained.folder)
    contents = {}
    for name, sha256 in ((MODEL_PICKLE, trained.joblib_sha256), (MODEL_GRAPH, trained.onnx_sha256)):
        contents[name] = folder.read_bytes(name)
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise ModelFileError(f"{folder.locate(name)} isn't what the model stage wrote: its sha256 differs")
    return joblib.load(io.BytesIO(contents[MODEL_PICKLE])), contents[MODEL_GRAPH]


def production_metrics(
    product: Product, features: Any, holdout: pd.DataFrame, database: Database, storage: Storage
) -> tuple[int | None, dict[str, float] | None]:
    """What production's release reaches on the same rows; (None, None) when nothing is in production.

    Raises ModelFileError when production's files aren't whole: unseen, a worse model would pass.
    """
    ledger = Ledger(database)
    version = ledger.state(product.name).production
    if version is None:
        return None, None
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        local = Path(temporary) / "release"
        folder = storage.at(product.name, "releases", str(version))
        try:
            fetch_folder(folder, local, manifest=released.RELEASE_FILE)
            found = evaluate.evaluate_release(local, product, features, holdout, shown=folder.url)
        except (released.ReleaseError, StorageError) as error:
            raise ModelFileError(
                f"production's release {version} of {product.name} can't be compared with: {error}; "
                "restore its files, or promote another release"
            ) from error
    return version, found.metrics


def segments(product: Product) -> tuple[str, ...]:
    categories = [c.name for c in product.contract.columns if c.type == "category" and c.name != product.target.column]
    return tuple(categories[:3])


def _headline(product: Product) -> tuple[str, ...]:
    if product.task == "classification":
        return ("accuracy", "balanced_accuracy", "f1", "log_loss")
    return ("median_ape", "mae", "coverage", "r2", "median_ape_required_only", "mae_required_only")


def draw(
    product: Product, model: Model, features: Any, holdout: pd.DataFrame, evaluation: evaluate.Evaluation
) -> dict[str, bytes]:
    """The charts of a finished model as PNG, by name."""
    target, unit, score = product.target.column, product.target.unit, product.search.score
    importance = permutation_importance(
        model, product, features, holdout, metric=score, classes=tuple(model.scale.classes)
    )
    drawn = {"feature_importance": charts.feature_importance(importance, score)}
    if product.task == "classification":
        return drawn | {"confusion": charts.confusion(evaluation.answers, target)}
    drawn["predicted_vs_actual"] = charts.predicted_vs_actual(evaluation.answers, target, unit)
    for name, table in evaluation.segments.items():
        metric = "median_ape" if "median_ape" in table.columns else "mae"
        drawn[f"error_by_{name}"] = charts.error_by_group(table, name, metric)
        drawn[f"residuals_by_{name}"] = charts.residuals_by_segment(evaluation.answers, target, name)
    return drawn


def _inline(image: bytes) -> str:
    return f"![chart](data:image/png;base64,{base64.b64encode(image).decode()})"


def _track(
    product: Product,
    trained: TrainedModel,
    record: Measured,
    verdicts: list[Verdict],
    drawn: dict[str, bytes],
    tracking: Tracking,
    context: dg.AssetExecutionContext,
) -> None:
    failed = [v.gate.name for v in verdicts if not v.passed]
    # A re-executed Dagster run goes on in the MLflow run of the model, which keeps the id of the run that made it.
    tags = {"gates": f"failed: {', '.join(failed)}" if failed else "passed", DAGSTER_RUN_TAG: trained.folder}
    with tracking.run(product.name, context, tags, resume=trained.mlflow_run_id) as run:
        run.log_metrics({**record.metrics, "onnx_parity": record.parity})
        with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
            for name, image in drawn.items():
                (Path(folder) / f"{name}.png").write_bytes(image)
            run.log_artifacts(folder, artifact_path="charts")
