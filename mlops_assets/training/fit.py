"""Training end to end: hold-out aside, search, final fit of the winner, its interval.

Add here the order in which the parts are used. Keep out the parts themselves, and files, runs and tracking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.training import families
from mlops_assets.training.columns import FeatureFunction, views
from mlops_assets.training.encoder import Encoder
from mlops_assets.training.interval import ResidualInterval, fit_interval
from mlops_assets.training.search import SearchResult, TrainingSet, Trial, search
from mlops_assets.training.spec import Interval, Product
from mlops_assets.training.split import in_holdout, row_keys
from mlops_assets.training.target import TargetScale
from mlops_assets.training.threads import one_thread

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Model:
    """A fitted product model: model columns in, answers in target units (or class probabilities) out."""

    encoder: Encoder
    predictor: Any
    scale: TargetScale
    task: families.Task
    interval: ResidualInterval | None = None

    def predict(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """Regression: `estimate` and, with an interval, `low` and `high`, each [n] in target units.
        Classification: `label` [n] and `probabilities` [n, K]."""
        matrix = self.encoder.transform(frame)
        raw = self.scale.raw(self.predictor, matrix)
        if self.task == "classification":
            return {"label": self.scale.classes[raw.argmax(axis=1)], "probabilities": raw}
        answers = {"estimate": self.scale.backward(raw)}
        if self.interval is not None:
            low, high = self.interval.predict(matrix, raw)
            answers |= {"low": self.scale.backward(low), "high": self.scale.backward(high)}
        return answers


@dataclass(frozen=True)
class Trained:
    """The fitted model, how it was found, and the rows on either side of the split."""

    model: Model
    search: SearchResult
    train_rows: pd.DataFrame
    holdout_rows: pd.DataFrame


def train(
    product: Product,
    features: FeatureFunction,
    rows: pd.DataFrame,
    *,
    on_trial: Callable[[Trial], None] | None = None,
    holdout: np.ndarray | None = None,
) -> Trained:
    """Search and fit on the training side of `rows` (canonical, cleaned).

    `holdout` overrides the content split with a mask of one's own (benchmarks). Raises ValueError naming what
    is wrong with the target, the features or the search.
    """
    target = product.target.column
    if target not in rows.columns:
        raise ValueError(f"the rows lack the target column {target}")
    keys = row_keys(rows, target=target, seed=product.search.seed)
    held = in_holdout(keys, product.search.holdout_share) if holdout is None else holdout
    if held.all() or not held.any():
        raise ValueError(
            f"a hold-out of {product.search.holdout_share:g} leaves a side of {len(rows)} rows empty"
        )
    training_rows = rows[~held].reset_index(drop=True)
    data = training_set(product, features, training_rows, keys[~held])
    found = search(data, product.search, on_trial)
    interval = (product.interval or Interval()) if product.task == "regression" else None
    model = fit_model(data, found, seed=product.search.seed, interval=interval)
    return Trained(model, found, training_rows, rows[held].reset_index(drop=True))


def training_set(
    product: Product, features: FeatureFunction, rows: pd.DataFrame, keys: np.ndarray
) -> TrainingSet:
    """Model columns and target of training rows, ready for `search` and `fit_model`."""
    target = rows[product.target.column].to_numpy()
    if product.task == "regression":
        target = target.astype(np.float64)
        scale = TargetScale(transform=product.target.transform)
        scale.forward(target)
    else:
        scale = TargetScale(classes=np.unique(target))
        if len(scale.classes) < 2:
            raise ValueError(f"the target {product.target.column} has fewer than two classes")
    return TrainingSet(
        views=views(features, rows, product.features),
        target=target,
        keys=keys,
        numeric=product.features.numeric,
        categorical=product.features.categorical,
        task=product.task,
        scale=scale,
    )


def fit_model(data: TrainingSet, found: SearchResult, *, seed: int, interval: Interval | None) -> Model:
    """The winner of the search on all training rows; the interval from its out-of-fold residuals."""
    encoder = Encoder(data.numeric, data.categorical)
    matrices = encoder.fit(data.views, data.scale.for_encoder(data.target), data.keys)
    matrix = np.vstack(matrices)
    target = np.tile(data.scale.forward(data.target), len(matrices))
    predictor = families.build(found.best.family, found.best.params, task=data.task, seed=seed)
    band = None
    with one_thread():
        predictor.fit(matrix, target)
        if interval is not None:
            residuals = target - np.concatenate(found.out_of_fold)
            band = fit_interval(matrix, residuals, np.tile(data.keys, len(matrices)), interval, seed)
    return Model(encoder, predictor, data.scale, data.task, band)
