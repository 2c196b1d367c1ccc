"""What a release is compared with in use: the columns that are monitored, and a sample of its own training data.

Add a monitored column here when requests or answers have another one. Keep out where the sample is kept
(`drift.references`) and how it is compared (`drift.judge`). The release stage calls this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.drift.facts import Kind, Monitored
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.sample import ERROR, ESTIMATE, Sample, features, framed, scores
from mlops_assets.training import feature_set
from mlops_assets.training.columns import FeatureFunction, model_columns
from mlops_assets.training.released import OnnxModel
from mlops_assets.training.spec import SCORE, Product

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel


def monitored(product: Product, request: type[BaseModel]) -> tuple[Monitored, ...]:
    """Request fields that the contract declares, in its order, without times and those that the policy ignores; a
    regression's estimate and its error, and a detector's score, which has no error.

    Raises ValueError naming a field that is called like one of those two.
    """
    kinds: Mapping[str, Kind] = {c.name: c.type for c in product.contract.columns if c.type != "time"}
    taken = {ESTIMATE, ERROR} & set(kinds) & set(request.model_fields)
    if taken:
        raise ValueError(f"request field {', '.join(sorted(taken))}: drift keeps that name for the model's answer")
    columns = [
        Monitored(name, kind, optional=name in product.features.optional)
        for name, kind in kinds.items()
        if name in request.model_fields and name != product.target.column and name not in product.drift.ignore
    ]
    if product.task == "regression":
        columns += [Monitored(ESTIMATE, "number", "prediction"), Monitored(ERROR, "number", "error")]
    elif product.task == "anomaly":
        columns += [Monitored(ESTIMATE, "number", "prediction")]
    return tuple(columns)


def reference_of(
    product: Product,
    request: type[BaseModel],
    features_of: FeatureFunction,
    table: pd.DataFrame,
    graph: bytes,
    policy: DriftPolicy,
) -> Sample:
    """The reference of a model: training rows as requests have them; its estimates and errors on the hold-out.

    Args:
        table: the feature table, as `feature_set.read` gives it.
        graph: the ONNX model that is released.

    At most `policy.sample_rows` rows of each, chosen by `policy.seed`; equal input gives an equal sample.
    """
    import pandas as pd

    columns = monitored(product, request)
    train, holdout = feature_set.side(table, holdout=False), feature_set.side(table, holdout=True)
    chosen = _sampled(train, policy)
    rows = framed(
        features(columns), {name: chosen[name].tolist() for name in _names(columns) if name in chosen.columns}
    )
    if product.task != "classification":
        scored = _scored(product, features_of, _sampled(holdout, policy), graph)
    else:
        scored = pd.DataFrame()
    return Sample(rows=rows, scored=scored[list(scores(columns))], logged_rows=len(train))


def _names(columns: tuple[Monitored, ...]) -> list[str]:
    return [column.name for column in features(columns)]


def _sampled(rows: pd.DataFrame, policy: DriftPolicy) -> pd.DataFrame:
    """In the order of the table, which is the order of the data set."""
    if len(rows) <= policy.sample_rows:
        return rows.reset_index(drop=True)
    places = np.random.default_rng(policy.seed).choice(len(rows), policy.sample_rows, replace=False)
    return rows.iloc[np.sort(places)].reset_index(drop=True)


def _scored(product: Product, features_of: FeatureFunction, rows: pd.DataFrame, graph: bytes) -> pd.DataFrame:
    """Estimates rounded as they are answered, and |estimate - actual| / actual where the actual value is above 0."""
    import pandas as pd

    answers: Any = OnnxModel(graph).predict(model_columns(features_of, rows, product.features))
    answered = SCORE if product.task == "anomaly" else "estimate"
    estimate = np.round(answers[answered].astype(np.float64), product.target.decimals)
    if product.task == "anomaly":
        return pd.DataFrame({ESTIMATE: estimate})
    actual = rows[product.target.column].to_numpy(dtype=np.float64)
    known = np.isfinite(estimate) & (actual > 0)
    error = np.full(len(rows), np.nan)
    error[known] = np.abs(estimate[known] - actual[known]) / actual[known]
    return pd.DataFrame({ESTIMATE: np.where(np.isfinite(estimate), estimate, np.nan), ERROR: error})
