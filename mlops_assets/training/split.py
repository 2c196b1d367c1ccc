"""Which rows are held out, and which fold a row is in: decided by a hash of the row's own content.

The same row lands on the same side in every data version, whatever its position, and rows that look the same
to a model land together. Add other ways to divide rows here.
Keep out what a model sees (`columns`) and any randomness that a row's content doesn't decide.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_FIELD, _NULL = "\x1f", "\x00"


def row_keys(rows: pd.DataFrame, *, target: str, seed: int) -> np.ndarray:
    """One uint64 per row, from every column but the target; equal content gives an equal key.

    Neither the order of rows and columns nor int against float changes a key; null, NaN and None are the
    same.
    """
    names = sorted(str(name) for name in rows.columns if name != target)
    if not names:
        raise ValueError(f"rows have no column besides the target {target!r}: nothing to split by")
    salt = hashlib.blake2b(repr(seed).encode(), digest_size=16).digest()
    keys = np.empty(len(rows), dtype=np.uint64)
    for index, cells in enumerate(rows[names].itertuples(index=False, name=None)):
        text = _FIELD.join(f"{name}={_content(cell)}" for name, cell in zip(names, cells, strict=True))
        digest = hashlib.blake2b(text.encode(), digest_size=8, key=salt).digest()
        keys[index] = int.from_bytes(digest, "big")
    return keys


def in_holdout(keys: np.ndarray, share: float) -> np.ndarray:
    """True for the rows of the hold-out: about `share` of the distinct keys."""
    return keys < np.uint64(int(share * 2.0**64))


def folds(keys: np.ndarray, count: int, *, salt: int = 0) -> np.ndarray:
    """Fold number 0 … count-1 of every row. Another salt gives an independent division of the same rows."""
    mixed = (keys ^ np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return (mixed % np.uint64(count)).astype(np.int64)


def _content(cell: Any) -> str:
    # pandas' NA can't be compared, not even with itself.
    if cell is None or type(cell).__name__ == "NAType" or cell != cell:
        return _NULL
    if isinstance(cell, bool | np.bool_):
        return repr(float(cell))
    if isinstance(cell, int | float | np.number) and math.isfinite(cell):
        return repr(float(cell))
    return str(cell)
