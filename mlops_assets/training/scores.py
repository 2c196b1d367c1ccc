"""Every metric by name, as a number of actual and predicted values, and which way is better.

Add a metric here once: the search chooses by it, the evaluation reports it, a gate limits it.
Shares (median_ape, mape, accuracy, …) are 0-1, errors are in target units. Nothing here catches an error:
a metric that can't be computed is a fault, not a score.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Metric = Callable[[np.ndarray, np.ndarray], float]

HIGHER_IS_BETTER = frozenset({"r2", "accuracy", "f1", "coverage"})


def _mae(actual: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.abs(predicted - actual).mean())


def _rmse(actual: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.sqrt(((predicted - actual) ** 2).mean()))


def _r2(actual: np.ndarray, predicted: np.ndarray) -> float:
    total = float(((actual - actual.mean()) ** 2).sum())
    if total == 0:
        raise ValueError("r2 is undefined: every actual value is the same")
    return 1.0 - float(((predicted - actual) ** 2).sum()) / total


def _relative(actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    if (actual == 0).any():
        raise ValueError("a percentage error is undefined where the actual value is 0")
    return np.abs(predicted - actual) / np.abs(actual)


def _bias(actual: np.ndarray, predicted: np.ndarray) -> float:
    """Mean error in target units: positive when the model answers too high."""
    return float((predicted - actual).mean())


REGRESSION: dict[str, Metric] = {
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
    "median_ape": lambda actual, predicted: float(np.median(_relative(actual, predicted))),
    "mape": lambda actual, predicted: float(_relative(actual, predicted).mean()),
    "bias": _bias,
}


def interval_scores(actual: np.ndarray, estimate: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Share of actual values inside, and the median width: in target units and over the estimate."""
    width = high - low
    return {
        "coverage": float(((actual >= low) & (actual <= high)).mean()),
        "interval_width": float(np.median(width)),
        "interval_width_relative": float(np.median(width / np.abs(estimate))),
    }


def classification_scores(actual: np.ndarray, probabilities: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Accuracies, macro f1 and log loss of [n, K] probabilities in the order of `classes`."""
    from sklearn.metrics import f1_score, log_loss

    # float32 probabilities add up to 1 only nearly.
    probabilities = probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = classes[probabilities.argmax(axis=1)]
    return {
        "accuracy": float((predicted == actual).mean()),
        "balanced_accuracy": float(np.mean([(predicted[actual == name] == name).mean() for name in np.unique(actual)])),
        "f1": float(f1_score(actual, predicted, average="macro", zero_division=0)),
        "log_loss": float(log_loss(actual, probabilities, labels=list(classes))),
    }


CLASSIFICATION = ("accuracy", "balanced_accuracy", "f1", "log_loss")


def better(metric: str, left: float, right: float) -> bool:
    """Whether `left` is a strictly better value of the metric than `right`."""
    return left > right if higher_is_better(metric) else left < right


def higher_is_better(metric: str) -> bool:
    base = metric.removesuffix("_required_only")
    return base in HIGHER_IS_BETTER or base == "balanced_accuracy"
