"""A detector fitted for a product: the forest that will serve, and twins of other seeds that tell how steady it is.

Add here what is fitted where no row has a label. Keep out the forest itself (`isolation`), what is measured of it
(`evaluate_detector`) and files, runs and tracking (`learning`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.explanations.explainer import Explainer
from mlops_assets.explanations.reasons import Wording
from mlops_assets.explanations.reference import Reference
from mlops_assets.training import isolation_metrics
from mlops_assets.training.data.spec import Features
from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.spec import SCORE, Detector, Product

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PREDICTION = "anomaly_pred"


@dataclass(frozen=True)
class Grown:
    """One fitted forest: its seed, the share of training rows that it calls anomalies, and what it cost."""

    seed: int
    rate: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Detected:
    """The forest that answers and its twins; `predict` is that of every fitted model here."""

    model: IsolationModel
    twins: tuple[IsolationModel, ...]

    def predict(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        """`anomaly_score` float64 [n], below 0 for an anomaly, and `anomaly_pred` int64 [n], -1 or 1."""
        return answers(self.model.score(frame))


def answers(scores: np.ndarray) -> dict[str, np.ndarray]:
    """A detector's answers by name for its scores."""
    import numpy as np

    return {SCORE: scores, PREDICTION: np.where(scores < 0, -1, 1)}


def detect(
    frame: pd.DataFrame, features: Features, spec: Detector, on_grown: Callable[[Grown], None] | None = None
) -> tuple[Detected, list[Grown], dict[str, float]]:
    """Fit the forest and its twins to model columns; also how each fared, and the stability of their scores.

    The stability is `isolation_metrics.seed_stability` on the same rows.
    """
    models, grown, scores = [], [], []
    for seed in range(spec.seed, spec.seed + spec.twins + 1):
        began = time.perf_counter()
        model = IsolationModel.fit(
            frame, features.numeric, features.categorical,
            trees=spec.trees, seed=seed, samples=spec.samples, contamination=spec.contamination,
        )  # fmt: skip
        scores.append(model.score(frame))
        rate = isolation_metrics.anomaly_rate(scores[-1] < 0)
        models.append(model)
        grown.append(Grown(seed, rate, time.perf_counter() - began))
        if on_grown:
            on_grown(grown[-1])
    return Detected(models[0], tuple(models[1:])), grown, isolation_metrics.seed_stability(scores)


def explainer(product: Product, functions: Any, frame: pd.DataFrame) -> Explainer:
    """What explains the scores of a model that was fitted to these model columns, in the product's words.

    The product's module may have `WORDING` and `TOLD_TOGETHER`.
    """
    return Explainer(
        reference=Reference.of(
            frame, product.features.numeric, product.features.categorical, getattr(functions, "TOLD_TOGETHER", ())
        ),
        wording=Wording.model_validate(getattr(functions, "WORDING", {})),
    )
