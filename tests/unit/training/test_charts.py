"""Charts: real PNGs of the promised width, for ordinary, odd and tiny data, without pyplot."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mlops_assets.training import charts
from mlops_assets.training.importance import permutation_importance
from tests.pngs import pixels, size
from tests.unit.training import made_data


def answers(values: list[float], estimates: list[float]) -> pd.DataFrame:
    kinds: list[object] = ["a", "b $x_1$", None, "a very long segment name that goes on and on"]
    return pd.DataFrame({"value": values, "estimate": estimates, "kind": [kinds[i % 4] for i in range(len(values))]})


VALUES = list(np.linspace(10, 900, 40))
CASES = {
    "ordinary": (VALUES, [v * 1.1 for v in VALUES]),
    "negative and zero": ([0.0, -5.0, 3.0, 8.0], [1.0, -4.0, 2.0, 9.0]),
    "one row": ([5.0], [6.0]),
    "all equal": ([5.0] * 4, [5.0] * 4),
}


@pytest.mark.parametrize("case", list(CASES))
def test_charts_of_a_regression_are_whole_and_900_pixels_wide(case: str) -> None:
    table = answers(*CASES[case])
    for png in (
        charts.predicted_vs_actual(table, "value", "coins"),
        charts.residuals_by_segment(table, "value", "kind"),
    ):
        width, height = size(png)
        assert width == 900
        assert pixels(png) >= width * height * 3


def test_more_segments_make_a_taller_chart_up_to_the_limit() -> None:
    table = answers(VALUES, VALUES).assign(kind=[f"k{i}" for i in range(40)])
    heights = [size(charts.residuals_by_segment(table, "value", "kind", most=n))[1] for n in (4, 8, 40)]
    assert heights == sorted(set(heights))


def test_error_by_group_draws_small_groups_only_when_there_is_nothing_else() -> None:
    table = pd.DataFrame({"place": ["a", "b", "c"], "rows": [30, 20, 1], "mae": [1.0, 2.0, 99.0]})
    without = charts.error_by_group(table, "place", "mae")
    assert without == charts.error_by_group(table.head(2), "place", "mae")
    assert size(charts.error_by_group(table.tail(1), "place", "mae"))[0] == 900


def test_confusion_of_labels() -> None:
    table = pd.DataFrame({"grade": ["x", "y", "x", "z"], "label": ["x", "y", "y", "y"]})
    assert size(charts.confusion(table, "grade"))[0] == 900


def test_a_field_that_decides_is_important_and_one_that_is_ignored_is_not() -> None:
    class Area:
        def predict(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
            return {"estimate": np.exp(frame["log_size"].to_numpy(dtype=np.float64))}

    rows = made_data.sample(count=200).assign(value=lambda frame: frame["size"])
    table = permutation_importance(Area(), made_data.product(), made_data.features, rows, metric="mae")
    worse = table.set_index("column")["worse_by"]
    assert table.loc[0, "column"] == "size"
    assert worse["size"] > 10
    assert worse["place"] == pytest.approx(0.0, abs=1e-9)
    assert size(charts.feature_importance(table, "mae"))[0] == 900


def test_drawing_leaves_no_pyplot_behind() -> None:
    code = (
        "import sys, pandas as pd; from mlops_assets.training import charts;"
        "charts.predicted_vs_actual(pd.DataFrame({'v': [1.0, 2.0], 'estimate': [1.0, 3.0]}), 'v');"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
