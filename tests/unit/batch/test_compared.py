"""Two scorings of the same records: found by their values in any order, whatever one of them lacks."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlops_assets.batch.compared import compare
from mlops_assets.batch.shown import comparison_table


def rows(count: int) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(count), "b": [f"word {n}" for n in range(count)]})


def test_records_are_matched_by_value() -> None:
    made = rows(300)
    score = np.linspace(-0.1, 0.2, 300)
    order = np.random.default_rng(0).permutation(300)[:250]
    other = score[order] + 0.05
    found = compare(made, score, made.iloc[order].reset_index(drop=True), other)
    assert found is not None
    assert found.records == 250
    assert found.both == (other < 0).sum()
    assert (found.only_first, found.only_second) == ((score[order] < 0).sum() - found.both, 0)
    assert found.spearman is not None
    assert found.spearman > 0.9999
    assert found.top_overlap == 1.0
    assert "| 0 | flagged by production only |" in comparison_table(found)


def test_equal_records_are_one_and_equal_scores_have_no_rank() -> None:
    made = pd.concat([rows(3), rows(3)], ignore_index=True)
    found = compare(made, np.full(6, -0.1), made, np.full(6, 0.1))
    assert found is not None
    assert (found.records, found.only_first, found.spearman) == (6, 6, None)
    assert "–" in comparison_table(found)


def test_nothing_in_common() -> None:
    made = rows(3)
    assert compare(made, np.zeros(3), rows(9).iloc[5:], np.zeros(4)) is None
    assert compare(made, np.zeros(3), made.head(0), np.zeros(0)) is None
    assert compare(made, np.zeros(3), made[["a"]], np.zeros(3)) is None, "other columns"
