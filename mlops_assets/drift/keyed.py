"""Rows chosen by a keyed hash while they stream by: the same rows whatever the order of files and batches.

A row's key is a hash of what makes it one of its kind; the rows with the smallest keys are kept. Rows of one key count
once, so what decides about repetition is what the key is made of. Add here how another kind of value is hashed. Keep
out what a row is (`hour_files`). Pure; memory is that of two samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# Names that no column of data can have.
KEY, ORDER = ".key", ".order"
ALL = np.uint64(2**64 - 1)
# Steps of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
_GAMMA, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def mixed(bits: np.ndarray) -> np.ndarray:
    """64 bits → 64 bits that look random, one to one."""
    found = bits + _GAMMA
    found = (found ^ (found >> np.uint64(30))) * _FIRST
    found = (found ^ (found >> np.uint64(27))) * _SECOND
    return found ^ (found >> np.uint64(31))


def of_numbers(values: np.ndarray) -> np.ndarray:
    """Hashes of floats [n]; 0 and -0 are one, and so is every NaN."""
    plain = np.where(np.isnan(values), np.nan, values + 0.0)
    return mixed(plain.view(np.uint64))


def of_texts(values: np.ndarray, seed: int) -> np.ndarray:
    """Hashes of texts [n] under a key made of the seed."""
    from pandas.util import hash_array

    return hash_array(values, hash_key=f"{seed % 2**64:016x}", categorize=False)


def joined(seed: int, parts: list[np.ndarray]) -> np.ndarray:
    """One key for each row from the hashes of its parts, in their order."""
    found = np.full(len(parts[0]), np.uint64(seed % 2**64))
    for part in parts:
        found = mixed(found ^ part)
    return found


class Smallest:
    """Of the rows offered, those with the `most` smallest keys; of equal keys the first or last by `ORDER`."""

    def __init__(self, most: int, keep: Literal["first", "last"] = "first") -> None:
        self._most = most
        self._keep = keep
        self._parts: list[pd.DataFrame] = []
        self._waiting = 0
        self._limit = ALL

    def wanted(self, keys: np.ndarray) -> np.ndarray:
        """Places of the rows that are worth offering."""
        return np.flatnonzero(keys <= self._limit)

    def offer(self, keys: np.ndarray, columns: Mapping[str, Any]) -> None:
        """Rows by their keys [n] and columns [n], `ORDER` among them."""
        import pandas as pd

        if not len(keys):
            return
        self._parts.append(pd.DataFrame({KEY: keys, **columns}))
        self._waiting += len(keys)
        if self._waiting > 2 * self._most:
            self._settle()

    def chosen(self) -> pd.DataFrame | None:
        """The rows in the order of `ORDER`; None when there are none."""
        self._settle()
        return self._parts[0].sort_values(ORDER, kind="stable", ignore_index=True) if self._parts else None

    def _settle(self) -> None:
        import pandas as pd

        if not self._parts:
            return
        rows = pd.concat(self._parts, ignore_index=True).sort_values([KEY, ORDER], kind="stable")
        rows = rows.drop_duplicates(KEY, keep=self._keep).head(self._most)
        if len(rows) == self._most:
            self._limit = rows[KEY].iloc[-1]
        self._parts, self._waiting = [rows], len(rows)
