"""What is measured, compared and drawn of a model that estimates: a regression or a classification.

Add a chart or a headline number of such models here. Keep out the order of the stage (`measuring`), metrics
(`evaluate`, `scores`) and drawing itself (`charts`). `measured_scores` is the same for detectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.training import charts, evaluate, export, feature_set, released
from mlops_assets.training.columns import views
from mlops_assets.training.importance import permutation_importance
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.training.fit import Model

INLINE = ("predicted_vs_actual", "feature_importance", "confusion")


@dataclass(frozen=True, eq=False)
class Estimates:
    """A fitted model and its graph on one feature table."""

    product: Product
    functions: Any
    table: pd.DataFrame
    model: Model
    graph: bytes

    @property
    def headline(self) -> tuple[str, ...]:
        """The metrics that are shown first."""
        if self.product.task == "classification":
            return ("accuracy", "balanced_accuracy", "f1", "log_loss")
        return ("median_ape", "mae", "coverage", "r2", "median_ape_required_only", "mae_required_only")

    @property
    def inline(self) -> tuple[str, ...]:
        """The charts that are shown in Dagster."""
        return INLINE

    @property
    def holdout(self) -> pd.DataFrame:
        """The cleaned rows that nothing was fitted to."""
        return feature_set.side(self.table, holdout=True)

    def evaluation(self) -> evaluate.Evaluation:
        """Metrics of the graph that will serve."""
        return evaluate.evaluate(
            released.OnnxModel(self.graph),
            self.product,
            self.functions.features,
            self.holdout,
            train_rows=feature_set.side(self.table, holdout=False),
            segments=segments(self.product),
            classes=list(self.model.scale.classes),
        )

    def of_release(self, directory: Path, shown: str) -> dict[str, float]:
        """Metrics of a release on the same rows. Raises ReleaseError naming `shown`."""
        found = evaluate.evaluate_release(directory, self.product, self.functions.features, self.holdout, shown=shown)
        return found.metrics

    def parity(self) -> float:
        """How far the graph is from the model, relatively, on every row and view."""
        frames = views(self.functions.features, self.holdout, self.product.features)
        return export.parity(self.model, self.graph, frames)

    def draw(self, evaluation: evaluate.Evaluation) -> dict[str, bytes]:
        """The charts as PNG, by name."""
        return draw(self.product, self.model, self.functions.features, self.holdout, evaluation)


def segments(product: Product) -> tuple[str, ...]:
    """The first categories of the contract."""
    categories = [c.name for c in product.contract.columns if c.type == "category" and c.name != product.target.column]
    return tuple(categories[:3])


def draw(
    product: Product, model: Model, features: Any, holdout: pd.DataFrame, evaluation: evaluate.Evaluation
) -> dict[str, bytes]:
    """The charts of a finished model as PNG, by name."""
    target, unit, score = product.target.column, product.target.unit, product.search.score
    importance = permutation_importance(
        model, product, features, holdout, metric=score, classes=tuple(model.scale.classes)
    )
    drawn = {"feature_importance": charts.feature_importance(importance, score)}
    if product.task == "classification":
        return drawn | {"confusion": charts.confusion(evaluation.answers, target)}
    drawn["predicted_vs_actual"] = charts.predicted_vs_actual(evaluation.answers, target, unit)
    for name, table in evaluation.segments.items():
        metric = "median_ape" if "median_ape" in table.columns else "mae"
        drawn[f"error_by_{name}"] = charts.error_by_group(table, name, metric)
        drawn[f"residuals_by_{name}"] = charts.residuals_by_segment(evaluation.answers, target, name)
    return drawn
