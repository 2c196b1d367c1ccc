"""Facts that were counted in pieces are those of the whole, so the contract says the same of both."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.training.data.contract import Finding, judge
from mlops_assets.training.data.contract_facts import CleanFacts, RawCount, RawFacts
from mlops_assets.training.data.spec import Column, Contract

CONTRACT = Contract(
    raw_columns=("rooms", "place", "at"),
    columns=(
        Column(name="rooms", type="number", minimum=1, maximum=5),
        Column(name="place", type="category", required=False, values=("a", "b"), max_null_share=0.3),
        Column(name="at", type="time"),
    ),
    min_rows=3,
)
TODAY = date(2025, 3, 9)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "rooms": st.sampled_from([0.0, 1.0, 3.0, 7.0, 9.0, None]),
    "place": st.sampled_from(["a", "b", "c", "d", None]),
    "at": st.sampled_from([datetime(2024, 5, 1), datetime(2025, 3, 10), datetime(2031, 1, 1), None]),
}
ROWS = st.lists(st.tuples(*CELLS.values()), max_size=30)


def frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=list(CELLS), dtype=object)
    return found.astype({"rooms": "float64", "at": "datetime64[ns]"})


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 30), max_size=4), known=st.booleans())
def test_pieces_are_judged_as_the_whole(rows: list[tuple[Any, ...]], cuts: list[int], known: bool) -> None:
    raw = RawFacts(len(rows) + 3, tuple(CELLS), dict.fromkeys(CELLS, 0.0), 0.0)

    def judged(pieces: list[list[tuple[Any, ...]]]) -> tuple[Finding, ...]:
        counted = CleanFacts(CONTRACT, {"place": {"a", "c"}} if known else None, today=TODAY)
        for number, piece in enumerate(pieces):
            counted.add(Cleaned(frame(piece), {} if number else {"no price": 3}))
        return judge(raw, counted)

    bounds = sorted([0, *(min(cut, len(rows)) for cut in cuts), len(rows)])
    assert judged([rows[first:end] for first, end in pairwise(bounds)]) == judged([rows])


def test_raw_rows_are_counted_over_all_pieces() -> None:
    counted = RawCount()
    counted.add(pd.DataFrame({"place": ["a", "a", None], "price": ["1", "1", "2"]}))
    counted.add(pd.DataFrame({"place": ["b"], "price": [None]}))
    assert counted.facts() == RawFacts(4, ("place", "price"), {"place": 0.25, "price": 0.25}, 0.25)


def test_cleaned_rows_that_repeat_each_other_in_different_pieces_are_counted() -> None:
    counted = CleanFacts(CONTRACT, today=TODAY)
    for _ in range(3):
        counted.add(Cleaned(frame([(1.0, "a", datetime(2024, 5, 1))])))
    assert counted.duplicates == 2
