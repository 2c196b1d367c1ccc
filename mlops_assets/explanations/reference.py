"""What is usual in each column of the training rows: the typical value, and how many rows have which.

Add here what reasons need to know about training rows. Keep out words (`wording`) and rows themselves. numpy only, so
that a service can use it; a `Reference` is JSON and can travel with a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

Value = float | str
Columns = dict[str, np.ndarray]

MOST_EXACT = 200
# Where the values of a number with very many of them are counted: finest in the tails, where anomalies are.
QUANTILES = (0, 0.0001, 0.0005, 0.001, 0.005, *(n / 100 for n in range(1, 100)), 0.995, 0.999, 0.9995, 0.9999)


class Part(BaseModel):
    """A column, or several that are replaced together, as the training rows have it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...]
    typical: tuple[Value, ...]  # a value per column
    ordered: bool  # "or more", "or fewer" make sense
    values: tuple[Value, ...]  # of the first column, ascending
    counts: tuple[int, ...]  # training rows with each value; of a coarse number: from it to below the next
    missing: int
    exact: bool = True  # False: `values` are some of a number's

    def count(self, value: Value | None) -> int:
        """Training rows with this value; for an ordered part those at least as far out on its side.

        Of a number with more than 200 values that is an upper limit, close in the tails.
        """
        if value is None:
            return self.missing
        if not self.ordered or isinstance(value, str):
            return self.counts[self.values.index(value)] if value in self.values else 0
        known = np.array(self.values, dtype=float)
        # Of a coarse number the value lies among the rows that are counted from the last known value below it.
        below = int(np.searchsorted(known, value, side="right"))
        if not self.is_high(value):
            return sum(self.counts[:below])
        first = int(np.searchsorted(known, value)) if self.exact or value > known[-1] else below - 1
        return sum(self.counts[first:])

    def is_high(self, value: Value) -> bool:
        """Whether a number is on the upper side of the typical one."""
        return float(value) >= float(self.typical[0])


class Reference(BaseModel):
    """The parts of a row in the order of its columns. JSON by `model_dump_json`, back by `model_validate_json`.

    A category keeps all of its values, a number at most 200.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    numeric: tuple[str, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(
        cls, rows: Any, numeric: Sequence[str], categorical: Sequence[str], groups: Sequence[Sequence[str]] = ()
    ) -> Reference:
        """From a frame (or a mapping of columns) with at least these columns; categories are text.

        The columns of a group tell one thing and are replaced together. Its first is the one that is counted, by how
        common the very value is: hour 4 isn't "4 or more". Of a group counts what is among these columns. Missing is
        None, NaN or an empty text. A column without any value has nothing typical and is left out. Raises ValueError
        without rows or columns, KeyError when a column isn't there.
        """
        names = [*numeric, *categorical]
        columns = columns_of(rows, names, numeric)
        count = len(columns[names[0]]) if names else 0
        if not count:
            raise ValueError("a reference needs at least one row and one column")
        grouped = [tuple(name for name in group if name in columns) for group in groups]
        group_of = {name: group for group in grouped for name in group}
        declared = dict.fromkeys(group_of.get(name, (name,)) for name in names)
        parts = [_part(columns, group, ordered=group[0] in numeric and group not in grouped) for group in declared]
        return cls(rows=count, numeric=tuple(numeric), parts=tuple(part for part in parts if part is not None))


def columns_of(rows: Any, names: Sequence[str], numeric: Sequence[str]) -> Columns:
    """Columns of a frame or a mapping as arrays [n]: numbers float64, all else object.

    Numbers are rounded as models read them, to float32: 0.1 of a request is then 0.1 of a training row.
    """
    numbers = frozenset(numeric)
    return {
        name: np.asarray(rows[name], dtype=np.float32).astype(np.float64)
        if name in numbers
        else np.asarray(rows[name], dtype=object)
        for name in names
    }


def plain(value: Any) -> Value | None:
    """A number, a text, or None for what is missing (or isn't a finite number)."""
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return None if value is None else str(value) or None


def is_missing(values: np.ndarray) -> np.ndarray:
    """Which values of a column [n] hold nothing, as `plain` has it."""
    if values.dtype == np.float64:
        return ~np.isfinite(values)
    # Only NaN isn't equal to itself.
    return np.isin(values, np.array([None, ""], dtype=object)) | np.asarray(values != values, dtype=bool)


def _part(columns: Columns, group: tuple[str, ...], *, ordered: bool) -> Part | None:
    values = columns[group[0]]
    counted = _counted(values)
    if not counted:
        return None
    distinct: list[Any] = sorted(counted)
    counts = np.array([counted[value] for value in distinct])
    # The middle value rather than a mean of two: a count stays a whole number.
    middle = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) if ordered else int(np.argmax(counts))
    lead = distinct[middle]
    beside = _beside(columns, group, values == lead)
    if beside is None:
        return None
    exact = not ordered or len(distinct) <= MOST_EXACT
    starts = np.arange(len(distinct)) if exact else _starts(counts)
    return Part(
        columns=group, typical=(lead, *beside), ordered=ordered, values=tuple(distinct[start] for start in starts),
        counts=tuple(np.add.reduceat(counts, starts).tolist()), missing=len(values) - int(counts.sum()), exact=exact,
    )  # fmt: skip


def _counted(values: np.ndarray) -> Counter[Value]:
    """Rows by value, without those that have none."""
    if values.dtype == np.float64:
        distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        return Counter(dict(zip(distinct.tolist(), counts.tolist(), strict=True)))
    counted: Counter[Value] = Counter()
    for value, count in Counter(values.tolist()).items():
        known = plain(value)
        if known is not None:
            counted[known] += count
    return counted


def _beside(columns: Columns, group: tuple[str, ...], where: np.ndarray) -> tuple[Value, ...] | None:
    """What the group's other columns hold most often there, so that sine and cosine belong to the hour."""
    if len(group) == 1:
        return ()
    rows = Counter(zip(*(map(plain, columns[name][where].tolist()) for name in group[1:]), strict=True))
    whole: dict[tuple[Any, ...], int] = {row: count for row, count in rows.items() if None not in row}
    return min(whole, key=lambda row: (-whole[row], row), default=None)


def _starts(counts: np.ndarray) -> np.ndarray:
    """Places of the values that a quantile falls on, and of the last."""
    up_to = np.cumsum(counts) / counts.sum()
    return np.unique([0, *np.minimum(np.searchsorted(up_to, QUANTILES), len(counts) - 1), len(counts) - 1])
