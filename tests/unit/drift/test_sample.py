"""Samples: values read alike on both sides, and rows chosen the same way whatever the order they come in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.drift import keyed
from mlops_assets.drift.facts import Monitored
from mlops_assets.drift.keyed import ORDER, Smallest
from mlops_assets.drift.sample import framed, label, number, scored


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3.0), (2.5, 2.5), ("2.5", 2.5), (True, 1.0), ("true", 1.0), ("false", 0.0), ("1e3", 1000.0)],
)
def test_numbers_are_read_from_every_type_a_file_may_have(value: Any, expected: float) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("value", [None, "", "many", math.nan, math.inf, "-inf", "1e999", [1], {"a": 1}, 10**400])
def test_what_is_no_finite_number_is_missing(value: Any) -> None:
    assert math.isnan(number(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("Pune", "Pune"), (5, "5"), (5.0, "5"), ("5", "5"), (2.5, "2.5"), (True, "true"), ("true", "true")],
)
def test_categories_are_text_of_one_spelling(value: Any, expected: str) -> None:
    assert label(value) == expected
    assert label(None) is None
    assert label(math.nan) is None


def test_a_frame_has_every_column_and_its_type() -> None:
    columns = (Monitored("area", "number"), Monitored("town", "category"), Monitored("pool", "number"))
    frame = framed(columns, {"area": [1, None, "x"], "town": ["Pune", None, 7]})
    assert list(frame.columns) == ["area", "town", "pool"]
    assert frame["area"].dtype == frame["pool"].dtype == np.float64
    assert frame["area"].isna().tolist() == [False, True, True]
    assert frame["town"].tolist() == ["Pune", None, "7"]
    assert frame["pool"].isna().all()
    empty = framed(columns, {})
    assert (len(empty), list(empty.columns)) == (0, ["area", "town", "pool"])


def test_scores_of_different_length_stand_beside_each_other() -> None:
    frame = scored(("estimate", "error"), {"estimate": [1.0, 2.0, 3.0], "error": [0.5]})
    assert frame["estimate"].tolist() == [1.0, 2.0, 3.0]
    assert frame["error"].dropna().tolist() == [0.5]
    assert list(scored(("estimate", "error"), {}).columns) == ["estimate", "error"]


def chosen(batches: list[pd.DataFrame], most: int, keep: Any = "first", seed: int = 7) -> list[str]:
    found = Smallest(most, keep)
    for batch in batches:
        keys = keyed.of_texts(batch["who"].to_numpy(dtype=object), seed)
        places = found.wanted(keys)
        found.offer(keys[places], {ORDER: batch["id"].to_numpy()[places]})
    rows = found.chosen()
    return [] if rows is None else rows[ORDER].tolist()


def made(count: int, repeats: int = 1) -> pd.DataFrame:
    ids = [f"{place:06d}" for place in range(count)]
    return pd.DataFrame({"id": ids, "who": [f"u{place // repeats}" for place in range(count)]})


@pytest.mark.parametrize("keep", ["first", "last"])
def test_the_choice_does_not_depend_on_order_or_batches(keep: str) -> None:
    rows = made(5000, repeats=2)
    whole = chosen([rows], 300, keep)
    shuffled = rows.sample(frac=1, random_state=3)
    pieces = [shuffled.iloc[start : start + 77] for start in range(0, len(rows), 77)]
    assert len(whole) == 300
    assert chosen(pieces, 300, keep) == whole
    assert chosen([rows], 300, keep, seed=8) != whole
    # Of the two rows of one key, the first or the last.
    assert {int(one) % 2 for one in whole} == {0 if keep == "first" else 1}


def test_rows_of_one_key_count_once_and_few_rows_are_all_kept() -> None:
    assert chosen([made(90, repeats=9)], 300) == [f"{place:06d}" for place in range(0, 90, 9)]
    assert chosen([], 300) == []


def test_the_choice_is_even() -> None:
    """1,000 of 10,000: each tenth of the rows gives about a tenth of the sample (5 standard deviations: ± 47)."""
    found = np.array([int(one) for one in chosen([made(10_000)], 1000)])
    counts = np.bincount(found // 1000, minlength=10)
    assert counts.min() > 53
    assert counts.max() < 147


def test_hashes_tell_values_apart_and_forget_how_they_are_written() -> None:
    assert keyed.of_numbers(np.array([0.0]))[0] == keyed.of_numbers(np.array([-0.0]))[0]
    assert keyed.of_numbers(np.array([np.nan]))[0] == keyed.of_numbers(np.array([-np.nan]))[0]
    assert len(set(keyed.of_numbers(np.arange(1000.0)))) == 1000
    one, two = keyed.of_numbers(np.array([1.0])), keyed.of_numbers(np.array([2.0]))
    assert keyed.joined(7, [one, two])[0] != keyed.joined(7, [two, one])[0]
