"""The model stage: search, fit, convert, keep and track, with progress.

Add here the order of the steps and what is tracked of them. Keep out the steps: `search`, `fit`, `graph`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.storage.files import Storage
from mlops_assets.training import code_version, feature_set
from mlops_assets.training.fit import search_and_fit
from mlops_assets.training.graph import to_onnx
from mlops_assets.training.records import FeatureSet, TrainedModel
from mlops_assets.training.released import OnnxModel
from mlops_assets.training.search import SearchResult, Trial, plan
from mlops_assets.training.spec import Product
from mlops_assets.training.tracking import Tracking

if TYPE_CHECKING:
    import pandas as pd

MODEL_PICKLE = "model.joblib"
MODEL_GRAPH = "model.onnx"
SIGNATURE_ROWS = 3


@dataclass(frozen=True)
class Learned:
    """The record of the fitted model, the whole search, its table for a person and the MLflow page."""

    record: TrainedModel
    result: SearchResult
    trials: pd.DataFrame
    page: str


def learn(
    product: Product,
    features: FeatureSet,
    storage: Storage,
    tracking: Tracking,
    context: dg.AssetExecutionContext,
) -> Learned:
    """Search and fit on the training side, convert to ONNX, keep both forms, and log the run to MLflow."""
    table = feature_set.read(product, features, storage)
    data = feature_set.training_set(product, table)
    code = code_version.code_version(product.functions)
    tags = _tags(product, features, code)
    with tracking.run(product.name, context, tags) as run:
        run.log_params(_params(product, features))
        result, model = search_and_fit(product, data, _progress(product, context))
        graph = to_onnx(model)
        folder = storage.at(product.name, "models", context.run.run_id)
        hashes = {name: _keep(folder, name, content) for name, content in _forms(model, graph)}
        trials = trial_table(result)
        run.log_table(trials, "trials.json")
        run.log_metrics({f"validation_{product.search.score}": result.best.score, "trials": len(result.trials)})
        run.log_params({"family": result.best.family, **{f"best.{k}": v for k, v in result.best.params.items()}})
        logged = _log_model(graph, data.views[0].head(SIGNATURE_ROWS))
        active = run.active_run()
        record = TrainedModel(
            features=features,
            folder=context.run.run_id,
            joblib_sha256=hashes[MODEL_PICKLE],
            onnx_sha256=hashes[MODEL_GRAPH],
            family=result.best.family,
            params=result.best.params,
            score=product.search.score,
            validation=result.best.score,
            mlflow_run_id=active.info.run_id,
            mlflow_model_uri=logged,
            code_version=code,
        )
        page = tracking.run_page(active.info.experiment_id, active.info.run_id)
    return Learned(record, result, trials, page)


def _progress(product: Product, context: dg.AssetExecutionContext) -> Any:
    total = len(plan(product.search.candidates))
    done: list[Trial] = []

    def heard(trial: Trial) -> None:
        done.append(trial)
        params = ", ".join(f"{k}={v}" for k, v in trial.params.items())
        context.log.info(
            f"trial {len(done)}/{total}: {trial.family}({params}) "
            f"{product.search.score} {trial.score:.4f} in {trial.seconds:.1f} s"
        )

    return heard


def trial_table(result: SearchResult) -> pd.DataFrame:
    """Every trial, best first: family, parameters, score, seconds."""
    import pandas as pd

    return pd.DataFrame(
        {
            "family": [t.family for t in result.trials],
            "parameters": [", ".join(f"{k}={v}" for k, v in t.params.items()) for t in result.trials],
            "score": [round(t.score, 5) for t in result.trials],
            "seconds": [round(t.seconds, 2) for t in result.trials],
        }
    )


def _tags(product: Product, features: FeatureSet, code: str) -> dict[str, str]:
    dataset = features.dataset
    return {
        "product": product.name,
        "data_version": f"V{dataset.version}",
        "data_sha256": dataset.sha256,
        "sample_data": str(dataset.sample).lower(),
        "code_version": code,
    }


def _params(product: Product, features: FeatureSet) -> dict[str, Any]:
    return {
        "data_version": features.dataset.version,
        "data_rows": features.dataset.rows,
        "train_rows": features.train_rows,
        "holdout_rows": features.holdout_rows,
        "folds": product.search.folds,
        "seed": product.search.seed,
        "score": product.search.score,
        "target_transform": product.target.transform,
    }


def _forms(model: Any, graph: bytes) -> list[tuple[str, bytes]]:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=3)
    return [(MODEL_PICKLE, buffer.getvalue()), (MODEL_GRAPH, graph)]


def _keep(folder: Storage, name: str, content: bytes) -> str:
    import hashlib

    folder.write_bytes(name, content)
    return hashlib.sha256(content).hexdigest()


def _log_model(graph: bytes, rows: pd.DataFrame) -> str:
    """Log the graph that will serve, with its signature: the registry's model is what answers, and no pickle."""
    import mlflow.onnx
    import onnx
    from mlflow.models import infer_signature

    served = OnnxModel(graph)
    inputs = served.feed(rows)
    info = mlflow.onnx.log_model(
        onnx.load_from_string(graph),
        name="model",
        signature=infer_signature(inputs, served.run(inputs)),
        # Given, so that MLflow doesn't spend seconds on finding them out.
        pip_requirements=[f"{package}=={version(package)}" for package in ("onnxruntime", "numpy")],
    )
    return str(info.model_uri)
