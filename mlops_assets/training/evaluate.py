"""The untouched hold-out: every metric of a model, overall, without the optional fields, and by segment.

Evaluates whatever answers like a model: the one just fitted, its ONNX graph, or production's released graph
on the same rows. Add what is measured here; a metric's formula goes to `scores`, a limit on it to a gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mlops_assets.training import released, scores
from mlops_assets.training.columns import FeatureFunction, model_columns, views
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

MAX_SEGMENT_VALUES = 12
MISSING = "(missing)"


class Predictor(Protocol):
    """Model columns in, named answers out, as `fit.Model` and `released.OnnxModel` do."""

    def predict(self, frame: pd.DataFrame) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Evaluation:
    """`metrics` by name; per segment column a table (value, rows, metrics); the answers beside each row.

    `answers` is the hold-out with `estimate` (and `low`, `high`), or with `label` and a `p_<class>` a class.
    """

    metrics: dict[str, float]
    segments: dict[str, pd.DataFrame]
    answers: pd.DataFrame


def evaluate(
    model: Predictor,
    product: Product,
    features: FeatureFunction,
    holdout: pd.DataFrame,
    *,
    train_rows: pd.DataFrame | None = None,
    segments: Sequence[str] = (),
    classes: Sequence[object] = (),
) -> Evaluation:
    """Metrics of `model` on the hold-out rows. `classes` is needed for classification, in the model's order.

    With optional request fields every metric is there a second time as `<metric>_required_only`: the same
    rows with those fields hidden. With `train_rows` there is `unseen_<column>`, the share of hold-out rows
    whose category never occurred in training. Segments named by gates are always included. Raises
    ValueError for an empty hold-out or an unknown segment.
    """
    if holdout.empty:
        raise ValueError("the hold-out has no rows")
    frames = views(features, holdout, product.features)
    actual = holdout[product.target.column].to_numpy()
    answers = [model.predict(frame) for frame in frames]
    metrics = _metrics(product, actual, answers[0], classes)
    if len(answers) > 1:
        narrow = _metrics(product, actual, answers[1], classes)
        metrics |= {f"{name}_required_only": value for name, value in narrow.items()}
    if train_rows is not None:
        metrics |= _unseen(product, features, frames[0], train_rows)
    metrics["rows"] = float(len(holdout))
    wanted = dict.fromkeys([*segments, *(gate.segment for gate in product.gates if gate.segment)])
    table = _answer_table(holdout, answers[0], classes)
    by_segment = {column: segment_table(product, table, column, classes) for column in wanted}
    return Evaluation(metrics, by_segment, table)


def evaluate_release(
    directory: Path, product: Product, features: FeatureFunction, holdout: pd.DataFrame, *, shown: str | None = None
) -> Evaluation:
    """A released model on the same hold-out. Raises ReleaseError when it can't be read or needs columns that
    today's `features` no longer computes; it names `shown` instead of a temporary directory."""
    record = released.read_release(directory, shown=shown)
    model = released.load(directory, shown=shown)
    return evaluate(model, product, features, holdout, classes=record.get("classes", ()))


def segment_table(product: Product, answers: pd.DataFrame, column: str, classes: Sequence[object] = ()) -> pd.DataFrame:
    """One row a value of `column`, most rows first; a number with many values is cut into quarters.

    Regression: rows, median_ape, mae, bias, coverage. Classification: rows, accuracy, log_loss.
    """
    import pandas as pd

    if column not in answers.columns:
        raise ValueError(f"there is no column {column!r} to divide the hold-out by")
    values = answers[column]
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MAX_SEGMENT_VALUES:
        values = pd.qcut(values, 4, duplicates="drop").astype(str).where(values.notna())
    rows = []
    for value, part in answers.groupby(values.astype(object).where(values.notna(), MISSING), sort=True):
        rows.append({column: str(value), "rows": len(part), **_segment_scores(product, part, classes)})
    return pd.DataFrame(rows).sort_values("rows", ascending=False, kind="stable").reset_index(drop=True)


def _metrics(
    product: Product, actual: np.ndarray, answer: dict[str, np.ndarray], classes: Sequence[object]
) -> dict[str, float]:
    if product.task == "classification":
        if not len(classes):
            raise ValueError("a classification is evaluated with its classes")
        return scores.classification_scores(actual, answer["probabilities"], np.array(classes))
    actual = actual.astype(np.float64)
    estimate = answer["estimate"].astype(np.float64)
    if not np.isfinite(estimate).all():
        raise ValueError(f"{int((~np.isfinite(estimate)).sum())} estimates are not finite")
    # A percentage of nothing is undefined, so a target that reaches 0 has no such metrics.
    names = [n for n in scores.REGRESSION if "ape" not in n or (actual != 0).all()]
    result = {name: scores.REGRESSION[name](actual, estimate) for name in names}
    if "low" in answer:
        result |= scores.interval_scores(actual, estimate, answer["low"], answer["high"])
    return result


def _segment_scores(product: Product, part: pd.DataFrame, classes: Sequence[object]) -> dict[str, float]:
    actual = part[product.target.column].to_numpy()
    if product.task == "classification":
        probabilities = part[[f"p_{name}" for name in classes]].to_numpy()
        found = scores.classification_scores(actual, probabilities, np.array(classes))
        return {name: found[name] for name in ("accuracy", "log_loss")}
    actual = actual.astype(np.float64)
    estimate = part["estimate"].to_numpy(dtype=np.float64)
    names = ["median_ape"] if (actual != 0).all() else []
    result = {name: scores.REGRESSION[name](actual, estimate) for name in [*names, "mae", "bias"]}
    if "low" in part:
        result["coverage"] = float(((actual >= part["low"]) & (actual <= part["high"])).mean())
    return result


def _answer_table(holdout: pd.DataFrame, answer: dict[str, np.ndarray], classes: Sequence[object]) -> pd.DataFrame:
    table = holdout.reset_index(drop=True).copy()
    if "probabilities" not in answer:
        return table.assign(**answer)
    table["label"] = answer["label"]
    for index, name in enumerate(classes):
        table[f"p_{name}"] = answer["probabilities"][:, index]
    return table


def _unseen(
    product: Product, features: FeatureFunction, frame: pd.DataFrame, train_rows: pd.DataFrame
) -> dict[str, float]:
    trained = model_columns(features, train_rows, product.features)
    return {
        f"unseen_{name}": float((~frame[name].isin(set(trained[name]) | {""})).mean())
        for name in product.features.categorical
    }
