"""The range that comes with a regression's answer: quantile trees on out-of-fold residuals, calibrated.

Conformal calibration on rows that the quantile trees didn't see makes the promised share true, each tail on
its own. Add another way to an interval here. Keep out the estimate itself (`families`) and the graph
(`graph`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_assets.training import spec
from mlops_assets.training.split import folds

_TREES = {"max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 12, "min_samples_leaf": 60}
_FOLDS = 3


@dataclass(frozen=True)
class ResidualInterval:
    """Quantile models of (actual - estimate) on the model's scale, and what calibration adds to each."""

    low: Any
    high: Any
    low_shift: float
    high_shift: float

    def predict(self, matrix: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) on the model's scale, with low <= estimate <= high in every row."""
        below = np.minimum(self.low.predict(matrix) + self.low_shift, 0.0)
        above = np.maximum(self.high.predict(matrix) + self.high_shift, 0.0)
        return estimate + below, estimate + above


def fit_interval(
    matrix: np.ndarray, residuals: np.ndarray, keys: np.ndarray, quantiles: spec.Interval, seed: int
) -> ResidualInterval:
    """Fit on cross-fitted rows: `residuals` must be out-of-fold (actual - estimate), or coverage is too low.

    A key's rows stay together when the tails are calibrated. Raises ValueError when they are too few.
    """
    if len(residuals) < 50:
        raise ValueError(f"an interval needs at least 50 training rows, there are {len(residuals)}")
    number = folds(keys, _FOLDS, salt=2)
    low, high = np.empty(len(residuals)), np.empty(len(residuals))
    for index in range(_FOLDS):
        inside = number == index
        if inside.all() or not inside.any():
            raise ValueError(f"an interval needs at least {_FOLDS} different rows in each calibration fold")
        for quantile, predicted in ((quantiles.low, low), (quantiles.high, high)):
            model = _quantile(quantile, seed).fit(matrix[~inside], residuals[~inside])
            predicted[inside] = model.predict(matrix[inside])
    return ResidualInterval(
        low=_quantile(quantiles.low, seed).fit(matrix, residuals),
        high=_quantile(quantiles.high, seed).fit(matrix, residuals),
        low_shift=-_conformal(low - residuals, 1 - quantiles.low),
        high_shift=_conformal(residuals - high, quantiles.high),
    )


def _conformal(scores: np.ndarray, share: float) -> float:
    """The smallest margin that holds `share` of the scores, with the finite-sample correction."""
    level = min(np.ceil((len(scores) + 1) * share) / len(scores), 1.0)
    return float(np.quantile(scores, level, method="higher"))


def _quantile(quantile: float, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        loss="quantile", quantile=quantile, random_state=seed, early_stopping=False, **_TREES
    )
