"""A detector on rows that it never saw and that nobody labelled: rate, steadiness, agreement, known severe rows.

Evaluates whatever scores model columns: the forest just fitted or production's, on the same rows. Add what is
measured here; a formula goes to `isolation_metrics`, a limit to a gate of the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mlops_assets.training import isolation_metrics as formulas
from mlops_assets.training.detecting import answers
from mlops_assets.training.evaluate import Evaluation
from mlops_assets.training.months import months_of
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

HEADLINE = ("anomaly_rate", "seed_spearman", "seed_overlap", "month_ratio", "agreement", "severe_auc")


class Scorer(Protocol):
    """Model columns in, scores [n] out, lower for odder rows, as `isolation.IsolationModel` does."""

    def score(self, frame: pd.DataFrame) -> np.ndarray: ...


def evaluate_detector(
    scorer: Scorer,
    product: Product,
    functions: Any,
    holdout: pd.DataFrame,
    frame: pd.DataFrame,
    *,
    twins: Sequence[Scorer] = (),
) -> Evaluation:
    """Metrics of a detector on the hold-out's cleaned rows and their model columns, in the same order.

    `anomaly_rate`, `mean_score`, `lowest_score`, `highest_score`, `agreement` with the histogram-based detector;
    `month_ratio` of the oddest rows, if a month has enough rows; with twins `seed_spearman` and `seed_overlap`; with
    `severe(rows)` in the product's module `severe_percentile` and `severe_auc`. What there are no rows for isn't
    measured, and fails a gate on it. Raises ValueError for an empty hold-out or scores that aren't finite.
    """
    if holdout.empty:
        raise ValueError("the hold-out has no rows")
    assert product.detector is not None
    scores = scorer.score(frame)
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite")
    features = product.features
    second = formulas.rarity(frame, features.numeric, features.categorical)
    metrics = {
        "rows": float(len(scores)),
        "anomaly_rate": formulas.anomaly_rate(scores < 0),
        "mean_score": float(scores.mean()),
        "lowest_score": float(scores.min()),
        "highest_score": float(scores.max()),
        "agreement": formulas.agreement(scores, second),
    }
    month = months_of(holdout, product.detector.time)
    if np.unique(month, return_counts=True)[1].max() >= product.detector.month_rows:
        metrics["month_ratio"] = formulas.month_ratio(formulas.top(scores), month, product.detector.month_rows)
    if twins:
        metrics |= formulas.seed_stability([scores, *(twin.score(frame) for twin in twins)])
    if hasattr(functions, "severe"):
        severe = np.asarray(functions.severe(holdout), dtype=bool)
        if 0 < severe.sum() < len(severe):
            metrics |= formulas.severe_rank(scores, severe)
    return Evaluation(metrics, {}, holdout.reset_index(drop=True).assign(**answers(scores)))
