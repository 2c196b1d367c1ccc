"""The values of one column on both sides, made comparable: numbers sorted, categories counted.

Add a rule here when rows hold values that are no values. Keep out how a logged value is read (`sample`) and what is
made of the values (`two_key`, `shares`, `summary`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.drift.facts import Monitored
from mlops_assets.drift.sample import Sample, label, number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

LARGEST = 1e150  # squares of larger numbers overflow


@dataclass(frozen=True)
class Numbers:
    """`present`: float64, ascending, finite. `rows` counts those without a value too."""

    rows: int
    present: NDArray[np.float64]

    @property
    def count(self) -> int:
        """Values that are there."""
        return len(self.present)


@dataclass(frozen=True)
class Categories:
    """`counts`: how often each value occurs. `rows` counts those without a value too."""

    rows: int
    counts: Counter[str]

    @cached_property
    def count(self) -> int:
        """Values that are there."""
        return self.counts.total()

    def share(self, name: str) -> float:
        """Share of a value among those that are there; 0 without any."""
        return self.counts[name] / self.count if self.counts else 0.0


@dataclass(frozen=True)
class NumberPair:
    """Both sides of a column of numbers."""

    reference: Numbers
    current: Numbers


@dataclass(frozen=True)
class CategoryPair:
    """Both sides of a column of categories."""

    reference: Categories
    current: Categories


Pair = NumberPair | CategoryPair


def read(reference: Sample, current: Sample, column: Monitored) -> Pair:
    """A monitored column on both sides; a side that lacks it has no rows.

    Missing are None, NaN, blank text and, among numbers, whatever isn't finite and below 1e150. Text that is a number
    counts as that number. Categories are compared as text without regard to case and blanks, so that users who type
    "whitefield" are no drift; the commonest spelling stands for all. Of estimates and errors only those that are known
    are rows at all.
    """
    before, now = _given(reference, column), _given(current, column)
    known_only = column.role != "feature"
    if column.kind == "number":
        return NumberPair(_numbers(before, known_only), _numbers(now, known_only))
    return _spelt_alike(_categories(before, known_only), _categories(now, known_only))


def _given(sample: Sample, column: Monitored) -> pd.Series | None:
    frame = sample.rows if column.role == "feature" else sample.scored
    return frame[column.name] if column.name in frame.columns else None


def _numbers(given: pd.Series | None, known_only: bool) -> Numbers:
    if given is None:
        return Numbers(0, np.empty(0))
    if isinstance(given.dtype, np.dtype) and given.dtype.kind in "iufb":
        values = given.to_numpy(dtype=np.float64)
    else:
        values = np.fromiter((number(value) for value in given), dtype=np.float64, count=len(given))
    present = np.sort(values[np.abs(values) <= LARGEST])
    return Numbers(len(present) if known_only else len(given), present)


def _categories(given: pd.Series | None, known_only: bool) -> Categories:
    if given is None:
        return Categories(0, Counter())
    # Mostly text already: 20,000 values are looked at one by one, their blanks and kinds once for each that differs.
    read = Counter(value if type(value) is str else _text(value) for value in given[given.notna()].tolist())
    counts: Counter[str] = Counter()
    for name, count in read.items():
        counts[name.strip()] += count
    del counts[""]
    return Categories(counts.total() if known_only else len(given), counts)


def _spelt_alike(reference: Categories, current: Categories) -> CategoryPair:
    both = reference.counts + current.counts
    rising = sorted(both, key=lambda name: (both[name], name))
    spelling = {_folded(name): name for name in rising}

    def respelt(side: Categories) -> Categories:
        counts: Counter[str] = Counter()
        for name, count in side.counts.items():
            counts[spelling[_folded(name)]] += count
        return Categories(side.rows, counts)

    return CategoryPair(respelt(reference), respelt(current))


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _text(value: Any) -> str:
    return label(value.item() if isinstance(value, np.generic) else value) or ""
