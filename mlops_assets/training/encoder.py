"""Model columns → the matrix that a model family learns from, in a form that ONNX can repeat exactly.

A category with few values becomes 0/1 columns; one with many becomes its effect on the target and how often
it was seen. Everything is a look-up table plus one constant matrix. Add here other ways to encode.
Keep out models (`families`) and the graph (`export`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.training.split import folds

if TYPE_CHECKING:
    import pandas as pd

MAX_ONE_HOT = 12
CROSS_FOLDS = 10
# Effects lie on a binary grid, so sums of them are exact in float32: scikit-learn and ONNX see equal numbers.
_GRID = 1024.0


@dataclass
class Table:
    """One category's look-up: row i holds the columns of `levels[i]`, the last row those of other texts."""

    name: str
    levels: list[str]
    values: np.ndarray
    one_hot: bool

    def codes(self, values: np.ndarray) -> np.ndarray:
        import pandas as pd

        found = pd.Index(self.levels, dtype=object).get_indexer(pd.Index(values, dtype=object))
        return np.where(found < 0, len(self.levels), found)


@dataclass
class Encoder:
    """Learns the matrix from model columns and a target; see `fit`.

    High-cardinality categories are taken in their declared order, coarse before fine: each gets the effect on
    the standardised target that numbers, 0/1 columns and earlier categories leave unexplained, shrunk towards
    0 by the ratio of the variance within its values to the variance between them (random effects).
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    medians: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    flagged: tuple[int, ...] = ()
    tables: list[Table] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    mix: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))

    def fit(self, views: Sequence[pd.DataFrame], target: np.ndarray, keys: np.ndarray) -> list[np.ndarray]:
        """Learn from the first view; return the float32 training matrix of every view.

        `target` is [n] or [n, K]. Views are the same rows seen differently, so a row's effects come, in every
        view, from the rows of the other cross-fitting folds: no row is described by its own target.
        """
        full = views[0]
        self._fit_numbers(views)
        y = np.asarray(target, dtype=np.float64).reshape(len(full), -1)
        spread = y.std(axis=0)
        y = (y - y.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        plain = self._one_hot_tables(full)
        effect_names = [name for name in self.categorical if name not in {table.name for table in plain}]
        levels = {name: sorted(set(full[name]) - {""}) for name in effect_names}
        base = self._base(full, plain)
        blank = [Table(n, levels[n], np.zeros((len(levels[n]) + 1, y.shape[1] + 1)), False) for n in effect_names]
        self.tables = plain + blank
        self._name_columns(y.shape[1])
        codes = [table.codes(full[table.name].to_numpy()) for table in blank]
        fold = folds(keys, CROSS_FOLDS, salt=1)
        parts = [np.zeros((len(full), len(self.names)), dtype=np.float32) for _ in views]
        for number in range(CROSS_FOLDS) if blank else ():
            inside = fold == number
            if inside.all() or not inside.any():
                continue
            self._set_effects(blank, codes, base, y, ~inside)
            for part, view in zip(parts, views, strict=True):
                part[inside] = self.transform(view[inside])
        self._set_effects(blank, codes, base, y, np.ones(len(full), dtype=bool))
        return parts if blank else [self.transform(view) for view in views]

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """float32 matrix [n, len(names)] of model columns, without a missing value."""
        numbers = frame[list(self.numeric)].to_numpy(dtype=np.float32)
        gaps = np.isnan(numbers)
        parts = [np.where(gaps, self.medians, numbers), gaps[:, list(self.flagged)].astype(np.float32)]
        parts += [table.values[table.codes(frame[table.name].to_numpy())] for table in self.tables]
        return np.hstack(parts).astype(np.float32) @ self.mix

    def _fit_numbers(self, views: Sequence[pd.DataFrame]) -> None:
        full = views[0][list(self.numeric)].to_numpy(dtype=np.float32)
        gaps = np.isnan(full)
        self.medians = np.array(
            [0.0 if gap.all() else np.median(column[~gap]) for column, gap in zip(full.T, gaps.T, strict=True)],
            dtype=np.float32,
        )
        self.flagged = tuple(
            index for index, name in enumerate(self.numeric) if any(view[name].isna().any() for view in views)
        )

    def _one_hot_tables(self, full: pd.DataFrame) -> list[Table]:
        tables = []
        for name in self.categorical:
            levels = sorted(set(full[name]) - {""})
            if len(levels) <= MAX_ONE_HOT:
                values = np.vstack([np.eye(len(levels)), np.zeros((1, len(levels)))]).astype(np.float32)
                tables.append(Table(name, levels, values, True))
        return tables

    def _base(self, full: pd.DataFrame, plain: list[Table]) -> np.ndarray:
        """Standardised columns that explain the target before any high-cardinality category does."""
        numbers = full[list(self.numeric)].to_numpy(dtype=np.float64)
        gaps = np.isnan(numbers)
        parts = [np.where(gaps, self.medians, numbers), gaps[:, list(self.flagged)].astype(float)]
        parts += [table.values[table.codes(full[table.name].to_numpy())] for table in plain]
        matrix = np.hstack(parts)
        spread = matrix.std(axis=0)
        matrix = (matrix - matrix.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return np.column_stack([matrix, np.ones(len(full))])

    def _name_columns(self, outputs: int) -> None:
        names = [*self.numeric, *(f"{self.numeric[i]}_missing" for i in self.flagged)]
        effects: list[list[int]] = []
        for table in self.tables:
            if table.one_hot:
                names += [f"{table.name}={level}" for level in table.levels]
                continue
            suffixes = [""] if outputs == 1 else [f"_{k}" for k in range(outputs)]
            effects.append(list(range(len(names), len(names) + outputs)))
            names += [f"{table.name}_effect{suffix}" for suffix in suffixes] + [f"{table.name}_seen"]
        self.names = names
        # A finer category's column is the sum of the effects down to it, so a value that was never seen
        # falls back to its coarser category.
        self.mix = np.eye(len(names), dtype=np.float32)
        for position, columns in enumerate(effects):
            for coarser in effects[:position]:
                self.mix[coarser, columns] = 1.0

    @staticmethod
    def _set_effects(
        tables: list[Table], codes: list[np.ndarray], base: np.ndarray, y: np.ndarray, rows: np.ndarray
    ) -> None:
        design, left = base[rows], y[rows]
        penalty = 1e-3 * len(left) * np.eye(design.shape[1])
        left = left - design @ np.linalg.solve(design.T @ design + penalty, design.T @ left)
        for table, code in zip(tables, codes, strict=True):
            effects, seen = _random_effects(code[rows], left, len(table.levels))
            table.values = np.column_stack([effects, np.log1p(seen)])
            table.values = (np.round(table.values * _GRID) / _GRID).astype(np.float32)
            left = left - table.values[code[rows], :-1]


def _random_effects(codes: np.ndarray, left: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """(shrunken mean of `left`, number of rows) per level, then a row of zeros for unknown values."""
    known = codes < levels
    codes, left = codes[known], left[known]
    seen = np.bincount(codes, minlength=levels + 1).astype(float)
    sums = np.column_stack([np.bincount(codes, column, minlength=levels + 1) for column in left.T])
    means = sums / np.maximum(seen, 1.0)[:, None]
    many = seen > 1
    within = ((left - means[codes]) ** 2).sum(axis=0) / max(seen[many].sum() - many.sum(), 1.0)
    present = seen > 0
    # Method of moments: the spread of level means holds the noise of each mean besides the true spread.
    noise = within * (1.0 / np.maximum(seen, 1.0))[present].mean() if present.any() else within
    between = np.maximum(means[present].var(axis=0) - noise, 1e-6) if present.any() else within
    shrink = np.clip(within / between, 0.5, 100.0)
    return sums / (seen[:, None] + shrink), seen
