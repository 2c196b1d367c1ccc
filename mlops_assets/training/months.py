"""Records by month: which months are trained on, and what tells whether a month's records changed.

Add here what else a month of records is asked. Keep out splits by content (`split`) and what is done with a month.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


class MonthFacts(TypedDict):
    """How many records a month has, and a hash of them that their order doesn't change."""

    rows: int
    sha256: str


def months_of(rows: pd.DataFrame, time: str) -> np.ndarray:
    """The month of each row, text [n] such as "2023-07". Raises ValueError when a row has no time."""
    at = rows[time]
    if at.isna().any():
        raise ValueError(f"{int(at.isna().sum()):,} rows have no {time}: they belong to no month")
    numbers = at.to_numpy("datetime64[M]")
    distinct, places = np.unique(numbers, return_inverse=True)
    return distinct.astype(str).astype(object)[places]


def train_until(months: np.ndarray, holdout_share: float) -> str:
    """The newest month to train on, so that those after it hold as near to `holdout_share` of the rows as may be.

    By rows and not by the calendar: a single row with a date far off moves nothing. Raises ValueError when there is
    only one month.
    """
    names, counts = np.unique(months.astype(str), return_counts=True)
    return until(dict(zip(names, counts, strict=True)), holdout_share)


def until(rows: Mapping[str, int], holdout_share: float) -> str:
    """`train_until` for months whose rows were counted."""
    names = sorted(rows)
    if len(names) < 2:
        raise ValueError(f"all rows are of one month ({', '.join(names) or 'none'}): none is left to hold out")
    counts = np.array([rows[name] for name in names])
    after = 1.0 - np.cumsum(counts)[:-1] / counts.sum()
    return str(names[int(np.argmin(np.abs(after - holdout_share)))])


class Fingerprints:
    """Counts records by month, piece by piece; equal records in another order give equal facts."""

    def __init__(self) -> None:
        self._hashes: dict[str, list[np.ndarray]] = {}

    def add(self, rows: pd.DataFrame, months: np.ndarray) -> None:
        """Count a piece, with the month of each row."""
        import pandas as pd

        hashes = pd.util.hash_pandas_object(rows, index=False)
        for month, group in hashes.groupby(months.astype(str)):
            self._hashes.setdefault(str(month), []).append(group.to_numpy())

    def facts(self) -> dict[str, MonthFacts]:
        """Of every month that has records, oldest first."""
        found: dict[str, MonthFacts] = {}
        for month in sorted(self._hashes):
            ordered = np.sort(np.concatenate(self._hashes[month])).astype("<u8")
            found[month] = {"rows": len(ordered), "sha256": hashlib.sha256(ordered.tobytes()).hexdigest()}
        return found
