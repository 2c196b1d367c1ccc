"""Model columns → numbers without gaps and category codes, for a detector that has no target to learn from.

Numbers get the training median where they are missing; each training value of a category becomes a 0/1 column.
Add here what else may be learnt from columns without a target. Keep out the detector (`isolation`), the graph
(`isolation_graph`), and encodings by the target (`encoder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Coded:
    """n rows as a detector reads them: `numbers` [n, P] float32 without gaps, and for each category its codes [n].

    A code is the value's place among the category's levels; the number of levels stands for no known value.
    """

    numbers: np.ndarray
    codes: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: slice) -> Coded:
        return Coded(self.numbers[rows], tuple(codes[rows] for codes in self.codes))


@dataclass(frozen=True, eq=False)
class IsolationEncoder:
    """What training rows say about the columns: `medians` [P] float32 and, for each category, its sorted `levels`.

    Every level is kept, however rare: rare values are what isolates a row. A missing or unknown value of a
    category is 0 in all its columns.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    medians: np.ndarray
    levels: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str]) -> IsolationEncoder:
        """Learn medians and levels. A column of numbers without a value has the median 0.

        Raises ValueError when there is no column at all, or naming the columns that the frame lacks.
        """
        if not numeric and not categorical:
            raise ValueError("an encoder needs at least one numeric or categorical column")
        _require(frame, (*numeric, *categorical))
        numbers = frame[list(numeric)].to_numpy(dtype=np.float32)
        gaps = np.isnan(numbers)
        medians = np.array(
            [0.0 if gap.all() else np.median(column[~gap]) for column, gap in zip(numbers.T, gaps.T, strict=True)],
            dtype=np.float32,
        )
        levels = tuple(_levels(frame[name]) for name in categorical)
        return cls(tuple(numeric), tuple(categorical), medians, levels)

    @property
    def width(self) -> int:
        """The number of columns of the matrix."""
        return len(self.numeric) + sum(map(len, self.levels))

    @property
    def sources(self) -> list[tuple[str, str | None]]:
        """For each column of the matrix, the model column and, for a category, the level that it stands for."""
        found: list[tuple[str, str | None]] = [(name, None) for name in self.numeric]
        for name, levels in zip(self.categorical, self.levels, strict=True):
            found += [(name, level) for level in levels]
        return found

    def code(self, frame: pd.DataFrame) -> Coded:
        """The rows in the form that scoring reads. Raises ValueError naming the columns that the frame lacks."""
        _require(frame, (*self.numeric, *self.categorical))
        numbers = np.array(frame[list(self.numeric)].to_numpy(dtype=np.float32), order="F")
        for column, median in zip(numbers.T, self.medians, strict=True):
            column[np.isnan(column)] = median
        codes = (_codes(frame[name], levels) for name, levels in zip(self.categorical, self.levels, strict=True))
        return Coded(numbers, tuple(codes))

    def matrix(self, rows: Coded) -> np.ndarray:
        """The 0/1 form that scikit-learn learns from: float32 [n, width], numbers first, column after column."""
        found = np.empty((len(rows), self.width), dtype=np.float32, order="F")
        found[:, : len(self.numeric)] = rows.numbers
        place = len(self.numeric)
        for codes, levels in zip(rows.codes, self.levels, strict=True):
            for code in range(len(levels)):
                found[:, place + code] = codes == code
            place += len(levels)
        return found

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """`matrix` of a frame of model columns."""
        return self.matrix(self.code(frame))


def _require(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"the frame lacks the model columns {', '.join(missing)}")


def _levels(values: pd.Series) -> tuple[str, ...]:
    """The distinct texts, sorted; what isn't text or is empty is no value."""
    return tuple(sorted({value for value in values.unique() if isinstance(value, str)} - {""}))


def _codes(values: pd.Series, levels: Sequence[str]) -> np.ndarray:
    """Each value's place in `levels`, or their number, in the smallest unsigned type that holds it."""
    import pandas as pd

    kind = np.min_scalar_type(len(levels))
    known = pd.Index(list(levels), dtype=object)
    if isinstance(values.dtype, pd.CategoricalDtype):
        # -1, no value, takes the last place.
        places = np.append(known.get_indexer(values.cat.categories.astype(object)), -1)[values.cat.codes.to_numpy()]
    else:
        places = known.get_indexer(pd.Index(values.to_numpy(dtype=object), dtype=object))
    return np.where(places < 0, len(levels), places).astype(kind)
