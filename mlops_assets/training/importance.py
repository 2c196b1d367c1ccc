"""Permutation importance: how much worse a metric gets when one column's values are shuffled.

Works on canonical request fields, so a field is shuffled with everything derived from it, and on whatever
answers like a model. Keep out drawing (`charts`) and the metrics themselves (`scores`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.training import scores
from mlops_assets.training.columns import FeatureFunction, model_columns
from mlops_assets.training.evaluate import Predictor
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd


def permutation_importance(
    model: Predictor,
    product: Product,
    features: FeatureFunction,
    holdout: pd.DataFrame,
    *,
    metric: str,
    repeats: int = 3,
    seed: int = 0,
    classes: tuple[object, ...] = (),
    max_rows: int = 5_000,
) -> pd.DataFrame:
    """`column`, `worse_by` (mean; positive: the field helps), `spread` (standard deviation); best first.

    A field is shuffled `repeats` times over at most `max_rows` hold-out rows; units are the metric's.
    """
    import pandas as pd

    rows = holdout.head(max_rows).reset_index(drop=True)
    target = product.target.column
    actual = rows[target].to_numpy()
    random = np.random.default_rng(seed)
    sign = -1.0 if scores.higher_is_better(metric) else 1.0

    def score(changed: pd.DataFrame) -> float:
        answer = model.predict(model_columns(features, changed, product.features))
        if product.task == "classification":
            return scores.classification_scores(actual, answer["probabilities"], np.array(classes))[metric]
        return scores.REGRESSION[metric](actual.astype(np.float64), answer["estimate"].astype(np.float64))

    whole = score(rows)
    table = []
    for column in rows.columns.drop(target):
        worse = []
        for _ in range(repeats):
            shuffled = rows[column].to_numpy()[random.permutation(len(rows))]
            worse.append(sign * (score(rows.assign(**{column: shuffled})) - whole))
        table.append({"column": column, "worse_by": float(np.mean(worse)), "spread": float(np.std(worse))})
    return pd.DataFrame(table).sort_values("worse_by", ascending=False).reset_index(drop=True)
