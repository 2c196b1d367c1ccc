"""The model stage: fit (after a search, or as a detector), convert, keep and track, with progress.

Add here the order of the steps and what is tracked of them. Keep out the steps: `search`, `fit`, `detecting`, `graph`.
"""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.compute.place import HERE, place_of_work
from mlops_assets.explanations.explainer import REASONS_FILE
from mlops_assets.settings import Settings
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
    """The record of the fitted model, what was tried as a table for a person and where, on how many rows, and the
    MLflow page."""

    record: TrainedModel
    trials: pd.DataFrame
    page: str
    worked_on: str
    rows: int


@dataclass(frozen=True)
class _Fitted:
    """A model however it was found: by a search, or as a detector; `score` names what `validation` is."""

    model: Any
    graph: bytes
    family: str
    params: dict[str, Any]
    score: str
    validation: float
    trials: pd.DataFrame
    logged: dict[str, Any]
    example: pd.DataFrame
    worked_on: str = HERE
    reasons: bytes | None = None


def learn(
    product: Product,
    features: FeatureSet,
    settings: Settings,
    storage: Storage,
    tracking: Tracking,
    context: dg.AssetExecutionContext,
) -> Learned:
    """Fit on the training side, convert to ONNX, keep both forms, and log the run to MLflow."""
    table = feature_set.read_to_learn(product, features, storage)
    code = code_version.code_version(product.functions)
    tags = _tags(product, features, code)
    rows = int((~table[feature_set.HOLDOUT]).sum())
    with tracking.run(product.experiment_name, context, tags) as run:
        run.log_params(_params(features) | {"rows_fitted": rows})
        made = (_searched if product.detector is None else _detected)(product, table, settings, context)
        folder = storage.at(product.name, "models", context.run.run_id)
        hashes = {name: _keep(folder, name, content) for name, content in _forms(made)}
        run.log_table(made.trials, "trials.json")
        run.log_metrics({f"validation_{made.score}": made.validation, "trials": len(made.trials)})
        run.log_params(made.logged | {"family": made.family, **{f"best.{k}": v for k, v in made.params.items()}})
        logged = _log_model(made.graph, made.example)
        active = run.active_run()
        record = TrainedModel(
            features=features,
            folder=context.run.run_id,
            joblib_sha256=hashes[MODEL_PICKLE],
            onnx_sha256=hashes[MODEL_GRAPH],
            reasons_sha256=hashes.get(REASONS_FILE),
            family=made.family,
            params=made.params,
            score=made.score,
            validation=made.validation,
            mlflow_run_id=active.info.run_id,
            mlflow_model_uri=logged,
            code_version=code,
        )
        page = tracking.run_page(active.info.experiment_id, active.info.run_id)
    return Learned(record, made.trials, page, made.worked_on, rows)


def _searched(product: Product, table: pd.DataFrame, settings: Settings, context: dg.AssetExecutionContext) -> _Fitted:
    data = feature_set.training_set(product, table)
    with place_of_work(settings, len(data), context.log.warning) as place:
        result, model = search_and_fit(product, data, _progress(product, context), place)
    search = product.search
    return _Fitted(
        model=model,
        graph=to_onnx(model),
        family=result.best.family,
        params=result.best.params,
        score=search.score,
        validation=result.best.score,
        trials=trial_table(result),
        logged={
            "folds": search.folds,
            "seed": search.seed,
            "score": search.score,
            "target_transform": product.target.transform,
        },
        example=data.views[0].head(SIGNATURE_ROWS),
        worked_on=place.said,
    )


def _detected(product: Product, table: pd.DataFrame, settings: Settings, context: dg.AssetExecutionContext) -> _Fitted:
    import pandas as pd

    from mlops_assets.training import detecting, isolation_graph

    assert product.detector is not None
    spec = product.detector
    frame = feature_set.model_columns(table, holdout=False)

    def grown(forest: detecting.Grown) -> None:
        context.log.info(
            f"seed {forest.seed}: {spec.trees:,} trees, {forest.rate:.2%} of {len(frame):,} rows are anomalies, "
            f"{forest.seconds:.1f} s"
        )

    model, forests, stability = detecting.detect(frame, product.features, spec, grown)
    steadiness = "seed_spearman"
    functions = importlib.import_module(product.functions)
    return _Fitted(
        model=model,
        graph=isolation_graph.to_onnx(model.model),
        family=spec.family,
        params={name: getattr(spec, name) for name in ("trees", "samples", "contamination", "seed")},
        score=steadiness,
        validation=stability[steadiness],
        trials=pd.DataFrame(
            {
                "seed": [forest.seed for forest in forests],
                "training anomaly rate": [round(forest.rate, 5) for forest in forests],
                "seconds": [round(forest.seconds, 2) for forest in forests],
            }
        ),
        logged={"training_anomaly_rate": round(forests[0].rate, 6)},
        example=frame.head(SIGNATURE_ROWS),
        reasons=detecting.explainer(product, functions, frame).model_dump_json().encode(),
    )


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
        "kind": "training",
        "data_version": f"V{dataset.version}",
        "data_sha256": dataset.sha256,
        "sample_data": str(dataset.sample).lower(),
        "code_version": code,
    }


def _params(features: FeatureSet) -> dict[str, Any]:
    divided = {"trained_until": features.trained_until} if features.trained_until else {}
    return divided | {
        "data_version": features.dataset.version,
        "data_rows": features.dataset.rows,
        "train_rows": features.train_rows,
        "holdout_rows": features.holdout_rows,
    }


def _forms(made: _Fitted) -> list[tuple[str, bytes]]:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(made.model, buffer, compress=3)
    forms = [(MODEL_PICKLE, buffer.getvalue()), (MODEL_GRAPH, made.graph)]
    return forms if made.reasons is None else [*forms, (REASONS_FILE, made.reasons)]


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
