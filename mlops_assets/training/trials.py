"""One trial on one fold: the fold as matrices, and what a model that is fitted to the other folds predicts of it.

Add here what is done the same wherever trials are run. Keep out where that is (`trial_places`), and how trials are
planned and compared (`search`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.training import families
from mlops_assets.training.encoder import Encoder
from mlops_assets.training.spec import Family, Search
from mlops_assets.training.split import folds
from mlops_assets.training.target import TargetScale

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainingSet:
    """Training rows as model columns, in one or two views of the same rows, with their target and keys."""

    views: tuple[pd.DataFrame, ...]
    target: np.ndarray
    keys: np.ndarray
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    task: families.Task
    scale: TargetScale

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Task:
    """One trial, by its number in the plan, on one fold."""

    trial: int
    family: Family
    params: dict[str, Any]
    fold: int


@dataclass(frozen=True)
class Part:
    """What became of a task: predictions for the fold's rows, in every view, and the seconds that it took."""

    trial: int
    fold: int
    rows: np.ndarray
    predictions: list[np.ndarray]
    seconds: float


@dataclass(frozen=True)
class Fold:
    """A fold encoded: `train` and `target` of the others, in all views, and `test`, a matrix a view, of its `rows`."""

    train: np.ndarray
    target: np.ndarray
    test: list[np.ndarray]
    rows: np.ndarray
    task: families.Task
    scale: TargetScale


def encode(data: TrainingSet, count: int, number: int) -> Fold:
    """Fold `number` of `count`. Raises ValueError when it would be empty, or all rows."""
    inside = folds(data.keys, count) == number
    if inside.all() or not inside.any():
        raise ValueError(f"search.folds: {count} folds leave one empty ({len(data)} rows)")
    encoder = Encoder(data.numeric, data.categorical)
    target, keys = data.target[~inside], data.keys[~inside]
    matrices = encoder.fit([view[~inside] for view in data.views], data.scale.for_encoder(target), keys)
    return Fold(
        train=np.vstack(matrices),
        target=np.tile(data.scale.forward(target), len(matrices)),
        test=[encoder.transform(view[inside]) for view in data.views],
        rows=np.flatnonzero(inside),
        task=data.task,
        scale=data.scale,
    )


def attempt(task: Task, fold: Fold, seed: int) -> Part:
    """Fit the task's model and predict the fold."""
    started = time.perf_counter()
    model = families.build(task.family, task.params, task=fold.task, seed=seed)
    model.fit(fold.train, fold.target)
    predictions = [fold.scale.raw(model, matrix) for matrix in fold.test]
    return Part(task.trial, task.fold, fold.rows, predictions, time.perf_counter() - started)


class Folds:
    """The folds of a search in one process, encoded when first asked for and kept: a trial only fits and predicts."""

    def __init__(self, data: TrainingSet, spec: Search) -> None:
        self._data, self._spec = data, spec
        self._encoded: dict[int, Fold] = {}

    def attempt(self, task: Task) -> Part:
        """`attempt` on the task's fold."""
        if task.fold not in self._encoded:
            self._encoded[task.fold] = encode(self._data, self._spec.folds, task.fold)
        return attempt(task, self._encoded[task.fold], self._spec.seed)
