"""The model families of the search: what each name builds for regression and for classification.

Add a family or a default parameter here. Keep out encoding (`encoder`), the choice between families
(`search`) and the conversion to ONNX (`export`). Inputs are dense float matrices without missing values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from mlops_assets.training.spec import Family

Task = Literal["regression", "classification"]

# HistGradientBoosting's native categorical splits convert to a wrong ONNX graph without a word, and its own
# early stopping would hold rows out at random, whatever their keys.
_REFUSED = {"categorical_features", "early_stopping", "warm_start", "n_jobs"}


@dataclass
class Boosted:
    """Mean of boosted trees over losses × seeds, on the residual of a linear model when `base` is linear.

    The linear base extrapolates where trees stay flat, and leaves them less to learn. Regression only uses
    `base` and `losses`; a classifier averages probabilities.
    """

    task: Task
    base: Literal["linear", "none"] = "linear"
    losses: Sequence[str] = ("absolute_error",)
    seeds: int = 1
    seed: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)
    linear: Any = None
    members: list[Any] = field(default_factory=list)

    def fit(self, X: np.ndarray, y: np.ndarray) -> Boosted:
        self.members = []
        if self.task == "classification":
            self.members = [self._classifier(number).fit(X, y) for number in range(self.seeds)]
            return self
        self.linear = _scaled(_ridge(alpha=1.0)).fit(X, y) if self.base == "linear" else None
        left = y - self.linear.predict(X) if self.linear is not None else y
        for loss in self.losses:
            for number in range(self.seeds):
                self.members.append(self._regressor(loss, number).fit(X, left))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        if self.task == "classification":
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        mean = np.mean([member.predict(X) for member in self.members], axis=0)
        return mean if self.linear is None else mean + self.linear.predict(X)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.mean([member.predict_proba(X) for member in self.members], axis=0)

    @property
    def classes_(self) -> np.ndarray:
        return self.members[0].classes_

    def _regressor(self, loss: str, number: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingRegressor

        return HistGradientBoostingRegressor(
            loss=loss, random_state=self.seed + number, early_stopping=False, **self.parameters
        )

    def _classifier(self, number: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        return HistGradientBoostingClassifier(random_state=self.seed + number, early_stopping=False, **self.parameters)


def build(family: Family, parameters: Mapping[str, Any], *, task: Task, seed: int) -> Any:
    """An unfitted model with `fit` and `predict` (and `predict_proba` for classification).

    Raises ValueError naming the family for a parameter that it doesn't have or must not be given.
    """
    if family not in get_args(Family):
        raise ValueError(f"unknown model family {family!r}")
    refused = sorted(_REFUSED & set(parameters))
    if refused:
        raise ValueError(f"search: {family} can't be given {', '.join(refused)}")
    makers = _REGRESSION if task == "regression" else _CLASSIFICATION
    try:
        return makers[family](dict(parameters), seed)
    except TypeError as error:
        raise ValueError(f"search: {family}: {error}") from error


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def _ridge(**parameters: Any) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(**parameters)


def _linear(parameters: dict[str, Any], seed: int) -> Any:
    from sklearn.linear_model import LinearRegression

    return _scaled(LinearRegression(**parameters))


def _lasso(parameters: dict[str, Any], seed: int) -> Any:
    from sklearn.linear_model import Lasso

    return _scaled(Lasso(**{"alpha": 1e-3, "max_iter": 5000, **parameters}))


def _tree(parameters: dict[str, Any], seed: int) -> Any:
    from sklearn.tree import DecisionTreeRegressor

    return DecisionTreeRegressor(**{"min_samples_leaf": 5, "random_state": seed, **parameters})


# Unpruned forests take ten seconds a hundred trees to convert, so the default size is bounded.
_FOREST = {"n_estimators": 60, "max_leaf_nodes": 400, "min_samples_leaf": 2, "max_features": 0.5, "n_jobs": 1}


def _forest(parameters: dict[str, Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(**{**_FOREST, "random_state": seed, **parameters})


_BOOSTED = {"max_iter": 300, "learning_rate": 0.06, "max_leaf_nodes": 31, "min_samples_leaf": 15}
_ENSEMBLE: dict[str, Any] = {"losses": ("absolute_error", "squared_error"), "seeds": 1}
_OWN = ("base", "losses", "seeds")


def _boosted(task: Task, defaults: Mapping[str, Any]) -> Callable[[dict[str, Any], int], Any]:
    def make(parameters: dict[str, Any], seed: int) -> Any:
        given = {**defaults, **parameters}
        if "loss" in given:
            given["losses"] = (given.pop("loss"),)
        own = {name: given.pop(name) for name in _OWN if name in given}
        if own.get("base", "linear") not in ("linear", "none"):
            raise ValueError(f"search: base is 'linear' or 'none', not {own['base']!r}")
        model = Boosted(task=task, seed=seed, parameters={**_BOOSTED, **given}, **own)
        # Built once here so that a misspelt parameter fails before the search starts.
        model._classifier(0) if task == "classification" else model._regressor(model.losses[0], 0)
        return model

    return make


def _logistic(parameters: dict[str, Any], seed: int, **fixed: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    given = dict(parameters)
    if "alpha" in given:
        given["C"] = 1.0 / given.pop("alpha")
    return _scaled(LogisticRegression(**{"max_iter": 1000, "random_state": seed, **fixed, **given}))


def _tree_classifier(parameters: dict[str, Any], seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(**{"min_samples_leaf": 5, "random_state": seed, **parameters})


def _forest_classifier(parameters: dict[str, Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**{**_FOREST, "random_state": seed, **parameters})


_REGRESSION: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "linear": _linear,
    "ridge": lambda parameters, seed: _scaled(_ridge(**parameters)),
    "lasso": _lasso,
    "tree": _tree,
    "forest": _forest,
    "boosting": _boosted("regression", {}),
    "ensemble": _boosted("regression", _ENSEMBLE),
}
_CLASSIFICATION: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "linear": lambda parameters, seed: _logistic(parameters, seed, C=1e6),
    "ridge": _logistic,
    "lasso": lambda parameters, seed: _logistic(parameters, seed, l1_ratio=1.0, solver="saga", max_iter=500),
    "tree": _tree_classifier,
    "forest": _forest_classifier,
    "boosting": _boosted("classification", {}),
    "ensemble": _boosted("classification", {"seeds": 3, "max_features": 0.5}),
}
