"""The metrics stage: the served graph on the hold-out, production beside it, gates, parity and charts.

Add here the order of the steps and what is kept of them. Keep out what is measured and drawn of a kind of model
(`measured_estimates`, `measured_scores`), formulas (`scores`) and limits (`gates`).
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.explanations.explainer import REASONS_FILE
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.storage.folders import fetch_folder
from mlops_assets.training import evaluate, feature_set, gates, released
from mlops_assets.training.gates import Verdict
from mlops_assets.training.learning import MODEL_GRAPH, MODEL_PICKLE
from mlops_assets.training.measured_estimates import Estimates
from mlops_assets.training.measured_scores import Scores
from mlops_assets.training.records import Measured, TrainedModel
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import DAGSTER_RUN_TAG, Tracking


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
    table = feature_set.read_to_learn(product, trained.features, storage)
    model, graph = load_model(product, trained, storage)
    kind: Any = Estimates if product.detector is None else Scores
    measured: Estimates | Scores = kind(product, functions, table, model, graph)
    evaluation = measured.evaluation()
    version, production = production_metrics(product, measured.of_release, database, storage)
    verdicts = [gates.judge(g, evaluation.metrics, evaluation.segments, production) for g in product.gates]
    record = Measured(
        model=trained,
        metrics=evaluation.metrics,
        production_version=version,
        production_metrics=production,
        parity=measured.parity(),
    )
    drawn = measured.draw(evaluation)
    folder = storage.at(product.name, "charts", context.run.run_id)
    for name, image in drawn.items():
        folder.write_bytes(f"{name}.png", image)
    _track(product, trained, record, verdicts, drawn, tracking, context)
    return Found(
        record=record,
        evaluation=evaluation,
        verdicts=verdicts,
        headline=tuple(name for name in measured.headline if name in evaluation.metrics),
        images={name: _inline(drawn[name]) for name in measured.inline if name in drawn},
        chart_files={name: folder.locate(f"{name}.png") for name in drawn},
    )


def load_model(product: Product, trained: TrainedModel, storage: Storage) -> tuple[Any, bytes]:
    """The fitted model and its graph, each checked against its hash before it is opened.

    The model is a `fit.Model` or a `detecting.Detected`. The pickle is this platform's own, is only read by training,
    and only once its hash is right.
    """
    import joblib

    folder = storage.at(product.name, "models", trained.folder)
    pickled = _proven(folder, MODEL_PICKLE, trained.joblib_sha256)
    return joblib.load(io.BytesIO(pickled)), _proven(folder, MODEL_GRAPH, trained.onnx_sha256)


def reasons_file(product: Product, trained: TrainedModel, storage: Storage) -> dict[str, bytes]:
    """What explains a detector's scores, by its file name; nothing for other models."""
    if trained.reasons_sha256 is None:
        return {}
    folder = storage.at(product.name, "models", trained.folder)
    return {REASONS_FILE: _proven(folder, REASONS_FILE, trained.reasons_sha256)}


def _proven(folder: Storage, name: str, sha256: str) -> bytes:
    content = folder.read_bytes(name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelFileError(f"{folder.locate(name)} isn't what the model stage wrote: its sha256 differs")
    return content


def production_metrics(
    product: Product, of_release: Callable[[Path, str], dict[str, float]], database: Database, storage: Storage
) -> tuple[int | None, dict[str, float] | None]:
    """What production's release reaches by `of_release(directory, shown)`; (None, None) without one in production.

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
            return version, of_release(local, folder.url)
        except (released.ReleaseError, StorageError) as error:
            raise ModelFileError(
                f"production's release {version} of {product.name} can't be compared with: {error}; "
                "restore its files, or promote another release"
            ) from error


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
    with tracking.run(product.experiment_name, context, tags, resume=trained.mlflow_run_id) as run:
        run.log_metrics({**record.metrics, "onnx_parity": record.parity})
        with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
            for name, image in drawn.items():
                (Path(folder) / f"{name}.png").write_bytes(image)
            run.log_artifacts(folder, artifact_path="charts")
