"""What counts as a value, as the same value and as missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.drift.facts import Kind, Monitored, Role
from mlops_assets.drift.sample import Sample
from mlops_assets.drift.values import Categories, CategoryPair, Numbers, read


def side(values: Any, kind: Kind, role: Role = "feature") -> Numbers | Categories:
    frame, empty = pd.DataFrame({"x": values}), pd.DataFrame()
    sample = Sample(frame, empty, len(frame)) if role == "feature" else Sample(empty, frame, len(frame))
    return read(sample, sample, Monitored("x", kind, role)).current


def test_numbers_of_every_writing_are_read_and_the_rest_is_missing() -> None:
    given = [3, "2.5", True, Decimal("1.5"), np.float32(4), None, float("nan"), pd.NA, float("inf"), "-inf", "", "many"]
    found = side(pd.Series([*given, [1], {}, 1e200, 10**400], dtype=object), "number")
    assert isinstance(found, Numbers)
    assert found.present.tolist() == [1, 1.5, 2.5, 3, 4]
    assert found.rows == 16


@pytest.mark.parametrize("dtype", ["float64", "float32", "Int64", "Float64", "object"])
def test_numbers_are_read_from_every_type_of_column(dtype: str) -> None:
    found = side(pd.Series([2, None, 1], dtype=dtype), "number")
    assert isinstance(found, Numbers)
    assert found.present.tolist() == [1, 2]
    assert (found.rows, found.count) == (3, 2)


def test_a_category_is_the_same_however_it_is_written() -> None:
    given = [2, 2.0, "2", " 2 ", np.int64(2), np.float64(2), "a", True, [1], None, float("nan"), pd.NA, "  ", ""]
    found = side(pd.Series(given, dtype=object), "category")
    assert isinstance(found, Categories)
    assert found.counts == {"2": 6, "a": 1, "true": 1, "[1]": 1}
    assert (found.rows, found.count) == (14, 9)


def test_categories_are_read_from_numbers_and_from_pandas_categories() -> None:
    assert side(np.array([1.0, 2.0, np.nan]), "category").counts == {"1": 1, "2": 1}  # type: ignore[union-attr]
    assert side(pd.Categorical(["a", None, "a"]), "category").counts == {"a": 2}  # type: ignore[union-attr]


def test_scores_that_are_not_known_are_no_rows() -> None:
    found = side([0.1, float("nan"), 0.3], "number", "error")
    assert (found.rows, found.count) == (2, 2)


def test_a_side_without_the_column_has_no_rows() -> None:
    empty, full = Sample(pd.DataFrame(), pd.DataFrame(), 0), Sample(pd.DataFrame({"x": [1.0]}), pd.DataFrame(), 1)
    for kind in ("number", "category"):
        pair = read(empty, full, Monitored("x", kind))  # type: ignore[arg-type]
        assert (pair.reference.rows, pair.current.rows) == (0, 1)


def test_spellings_of_one_category_are_one() -> None:
    reference = Sample(pd.DataFrame({"town": ["Whitefield"] * 5 + ["Old  Town"]}), pd.DataFrame(), 6)
    current = Sample(pd.DataFrame({"town": ["whitefield", " WHITEFIELD", "old town", "Hebbal"]}), pd.DataFrame(), 4)
    found = read(reference, current, Monitored("town", "category"))
    assert isinstance(found, CategoryPair)
    assert found.reference.counts == {"Whitefield": 5, "old town": 1}
    assert found.current.counts == {"Whitefield": 2, "old town": 1, "Hebbal": 1}
