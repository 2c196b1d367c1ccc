"""What is measured, compared and drawn of a detector: `measured_estimates` for rows that nobody labelled.

Add a chart or a headline number of detectors here. Keep out the order of the stage (`measuring`), metrics
(`evaluate_detector`) and drawing itself (`anomaly_report`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.anomaly_report import charts
from mlops_assets.training import detecting, export, feature_set, isolation_graph, released
from mlops_assets.training.evaluate import Evaluation
from mlops_assets.training.evaluate_detector import HEADLINE, evaluate_detector
from mlops_assets.training.spec import SCORE, Product

if TYPE_CHECKING:
    import pandas as pd


EXPLAINED = 20
# onnxruntime takes a row at a time through every tree; so many rows tell as much of it as all.
PARITY_ROWS = 5_000


@dataclass(frozen=True, eq=False)
class Scores:
    """A fitted detector and its graph on one feature table."""

    product: Product
    functions: Any
    table: pd.DataFrame
    model: detecting.Detected
    graph: bytes

    @property
    def headline(self) -> tuple[str, ...]:
        """The metrics that are shown first."""
        return HEADLINE

    @property
    def inline(self) -> tuple[str, ...]:
        """The charts that are shown in Dagster: all."""
        groups = self.product.detector.groups.values() if self.product.detector else ()
        return (*charts.TITLES, *map(charts.group_name, groups))

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The model columns of the hold-out."""
        return feature_set.model_columns(self.table, holdout=True)

    def evaluation(self) -> Evaluation:
        """Metrics of the graph that will serve, read back into a forest that scores many rows at once."""
        holdout = feature_set.side(self.table, holdout=True)
        served = isolation_graph.from_onnx(self.graph)
        return evaluate_detector(served, self.product, self.functions, holdout, self.frame, twins=self.model.twins)

    def of_release(self, directory: Path, shown: str) -> dict[str, float]:
        """Metrics of a release on the same rows. Raises ReleaseError naming `shown`."""
        released.read_release(directory, shown=shown)
        scorer = isolation_graph.from_onnx((directory / released.MODEL_FILE).read_bytes())
        missing = [n for n in (*scorer.encoder.numeric, *scorer.encoder.categorical) if n not in self.frame.columns]
        if missing:
            raise released.ReleaseError(f"{shown}: needs columns that are no longer computed: {', '.join(missing)}")
        holdout = feature_set.side(self.table, holdout=True)
        return evaluate_detector(scorer, self.product, self.functions, holdout, self.frame).metrics

    def parity(self) -> float:
        """How far the graph's scores are from the model's, on rows spread over the hold-out."""
        places = np.unique(np.linspace(0, len(self.frame) - 1, PARITY_ROWS).astype(int))
        return export.parity(self.model, self.graph, [self.frame.iloc[places]])

    def draw(self, evaluation: Evaluation) -> dict[str, bytes]:
        """The charts as PNG, by name."""
        assert self.product.detector is not None
        spec = self.product.detector
        answers = evaluation.answers
        train = feature_set.model_columns(self.table, holdout=False)
        odd = np.argsort(answers[SCORE].to_numpy(), kind="stable")[:EXPLAINED]
        told = detecting.explainer(self.product, self.functions, train).explain(
            self.frame.iloc[odd], lambda columns: self.model.model.score(_framed(columns))
        )
        reasons = np.full(len(answers), "", dtype=object)
        reasons[odd] = [one.text for one in told]
        shown = answers.assign(at=answers[spec.time], reasons=reasons)
        return charts.all_charts(shown, spec.groups)


def _framed(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)
