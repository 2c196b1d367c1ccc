"""Training end to end: hold-out aside, search, final fit of the winner, its interval.

Add here the order in which the parts are used. Keep out the parts themselves, and files, runs and tracking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.compute.place import Place
from mlops_assets.training import families, feature_set
from mlops_assets.training.columns import FeatureFunction
from mlops_assets.training.encoder import Encoder
from mlops_assets.training.interval import ResidualInterval, fit_interval
from mlops_assets.training.search import SearchResult, Trial, search
from mlops_assets.training.spec import Candidate, Interval, Product
from mlops_assets.training.target import TargetScale
from mlops_assets.training.threads import one_thread
from mlops_assets.training.trials import TrainingSet

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
    """From cleaned rows to a fitted model in one call: what the stages do one by one.

    `holdout` overrides the content split with a mask of one's own (benchmarks). Raises ValueError naming what
    is wrong with the target, the features or the search.
    """
    table = feature_set.build(product, features, rows, holdout)
    found, model = search_and_fit(product, feature_set.training_set(product, table), on_trial)
    return Trained(model, found, feature_set.side(table, holdout=False), feature_set.side(table, holdout=True))


def search_and_fit(
    product: Product,
    data: TrainingSet,
    on_trial: Callable[[Trial], None] | None = None,
    place: Place | None = None,
) -> tuple[SearchResult, Model]:
    """The search's result, and its winner fitted on all training rows, with the interval of a regression.

    `place` is where trials are done; the winner is fitted in this process.
    """
    found = search(data, product.search, on_trial, place)
    if product.task == "classification":
        return found, fit_model(data, found.best, seed=product.search.seed)
    interval = product.interval or Interval()
    errors = data.scale.forward(data.target) - np.stack(_out_of_fold(product, data, found, interval.folds, place))
    model = fit_model(data, found.best, seed=product.search.seed, interval=interval, errors=errors.reshape(-1))
    return found, model


def _out_of_fold(
    product: Product, data: TrainingSet, found: SearchResult, count: int, place: Place | None
) -> tuple[np.ndarray, ...]:
    """The winner's out-of-fold predictions, view by view, from as many folds as the interval asks for."""
    if count == product.search.folds:
        return found.out_of_fold
    grid = {name: [value] for name, value in found.best.params.items()}
    winner = Candidate.model_validate({"family": found.best.family, "grid": grid})
    again = product.search.model_copy(update={"candidates": (winner,), "folds": count})
    return search(data, again, place=place).out_of_fold


def fit_model(
    data: TrainingSet,
    best: Trial,
    *,
    seed: int,
    interval: Interval | None = None,
    errors: np.ndarray | None = None,
) -> Model:
    """The winner of the search on all training rows.

    With `interval`, `errors` are its out-of-fold errors on the model's scale, one view after the other.
    """
    encoder = Encoder(data.numeric, data.categorical)
    matrices = encoder.fit(data.views, data.scale.for_encoder(data.target), data.keys)
    matrix = np.vstack(matrices)
    target = np.tile(data.scale.forward(data.target), len(matrices))
    predictor = families.build(best.family, best.params, task=data.task, seed=seed)
    band = None
    with one_thread():
        predictor.fit(matrix, target)
        if interval is not None and errors is not None:
            band = fit_interval(matrix, errors, np.tile(data.keys, len(matrices)), interval, seed)
    return Model(encoder, predictor, data.scale, data.task, band)
