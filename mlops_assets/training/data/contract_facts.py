"""What the data contract needs to know of rows, counted piece by piece: the rows themselves needn't be kept.

Add here what a check counts. Keep out what is allowed and what a person is told: that is `contract`. Facts of pieces
come to those of the whole, in whatever pieces the rows came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from numbers import Real
from typing import TYPE_CHECKING, Any

from mlops_assets.products.cleaned import Cleaned
from mlops_assets.training.data.spec import Column, Contract

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SHOWN = 5


@dataclass(frozen=True)
class RawFacts:
    """What the checks need of the raw rows. Shares are from 0 to 1."""

    rows: int
    columns: tuple[str, ...]
    null_shares: dict[str, float]
    duplicate_share: float


class RawCount:
    """Counts raw rows as `csv_file` returns them; rows that are equal have to come in one piece."""

    def __init__(self) -> None:
        self._rows = self._repeated = 0
        self._nulls: Counter[str] = Counter()

    def add(self, raw: pd.DataFrame) -> None:
        """Count a piece."""
        self._rows += len(raw)
        self._repeated += int(raw.duplicated().sum())
        self._nulls.update({str(c): int(raw[c].isna().sum()) for c in raw.columns})

    def facts(self) -> RawFacts:
        """Of all pieces together."""
        return RawFacts(
            rows=self._rows,
            columns=tuple(self._nulls),
            null_shares={name: share(count, self._rows) for name, count in self._nulls.items()},
            duplicate_share=share(self._repeated, self._rows),
        )


@dataclass
class Odd:
    """Values that aren't allowed: in how many rows, and which; the first few, or each once."""

    rows: int = 0
    values: dict[str, None] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, rows: int, values: Iterable[str] = (), examples: Iterable[str] = ()) -> None:
        """Count those of a piece."""
        self.rows += rows
        self.values.update(dict.fromkeys(values))
        if len(self.examples) < SHOWN:
            self.examples += [*examples][: SHOWN - len(self.examples)]


@dataclass
class ColumnFacts:
    """What was counted of one cleaned column; what its contract doesn't limit stays at nothing."""

    rows: int = 0
    nulls: int = 0
    wrong_type: int = 0
    under: Odd = field(default_factory=Odd)
    over: Odd = field(default_factory=Odd)
    undeclared: Odd = field(default_factory=Odd)
    future: Odd = field(default_factory=Odd)
    unseen: Odd = field(default_factory=Odd)

    def add(self, column: Column, values: pd.Series, known: Collection[Any] | None, today: date) -> None:
        """Count a piece. `known` are the categories of the version before, if there is one."""
        present = values.dropna()
        self.rows += len(values)
        self.nulls += len(values) - len(present)
        if column.type == "number":
            numbers = _numbers(values)
            self.wrong_type += len(present) - int(numbers.notna().sum())
            self._limits(column, numbers)
        elif column.type == "time":
            times = _local_times(present)
            self.wrong_type += len(present) - len(times)
            late = times[times >= datetime.combine(today + timedelta(days=1), time())]
            self.future.add(len(late), examples=(f"{v:%Y-%m-%d %H:%M}" for v in late.head(SHOWN)))
        else:
            self.wrong_type += sum(not isinstance(v, str) for v in present)
        if column.values is not None:
            self.undeclared.add(*_outside(present, column.values))
        if known is not None:
            self.unseen.add(*_outside(present, known))

    def _limits(self, column: Column, numbers: pd.Series) -> None:
        for odd, outside in (
            (self.under, None if column.minimum is None else numbers < column.minimum),
            (self.over, None if column.maximum is None else numbers > column.maximum),
        ):
            if outside is not None:
                odd.add(int(outside.sum()), examples=(f"{v:g}" for v in numbers[outside].head(SHOWN)))


class CleanFacts:
    """Counts cleaned rows against a contract, with the account of their cleaning.

    `known` are the categories of the version before, by column. No time may lie after `today`, the local date unless it
    is given.
    """

    def __init__(
        self,
        contract: Contract,
        known: Mapping[str, Collection[Any]] | None = None,
        *,
        today: date | None = None,
    ) -> None:
        self.contract, self.today = contract, today or date.today()
        self.rows = 0
        self.dropped: Counter[str] = Counter()
        self.columns: dict[str, ColumnFacts] = {}
        self.compared = known or {}
        self._hashes: list[np.ndarray] = []

    def add(self, cleaned: Cleaned) -> None:
        """Count a piece."""
        import pandas as pd

        rows = cleaned.rows
        self.rows += len(rows)
        self.dropped.update(cleaned.dropped)
        self._hashes.append(pd.util.hash_pandas_object(rows, index=False).to_numpy())
        for column in self.contract.columns:
            if column.name in rows.columns:
                facts = self.columns.setdefault(column.name, ColumnFacts())
                facts.add(column, rows[column.name], self.compared.get(column.name), self.today)

    @property
    def duplicates(self) -> int:
        """How many rows repeat another, wherever it is."""
        import numpy as np

        hashes = np.concatenate(self._hashes) if self._hashes else np.empty(0)
        return len(hashes) - len(np.unique(hashes))


def categories_of(rows: pd.DataFrame, contract: Contract) -> dict[str, set[Any]]:
    """The categories that rows have, by column of the contract."""
    names = [column.name for column in contract.columns if column.type == "category"]
    return {name: set(rows[name].dropna().unique()) for name in names if name in rows.columns}


def share(count: int, rows: int) -> float:
    """A share from 0 to 1; 0 of no rows."""
    return count / rows if rows else 0.0


def _outside(present: pd.Series, allowed: Collection[Any]) -> tuple[int, list[str]]:
    odd = present[~present.isin(list(allowed))]
    return len(odd), [str(v) for v in odd.unique()]


def _numbers(values: pd.Series) -> pd.Series:
    """Finite numbers as float64, NaN for all else. Text isn't read as a number, nor a truth value."""
    import numpy as np
    import pandas as pd

    if values.dtype == object:
        values = values.map(lambda v: v if isinstance(v, Real) and not isinstance(v, bool) else np.nan)
    elif not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return pd.Series(np.nan, index=values.index)
    floats = values.astype("float64")
    return floats.where(np.isfinite(floats))


def _local_times(present: pd.Series) -> pd.Series:
    """Those values that are times without a zone. Text isn't read as a time, nor a number, nor a date alone."""
    import pandas as pd

    if isinstance(present.dtype, pd.DatetimeTZDtype):
        return present[:0].dt.tz_localize(None)
    if pd.api.types.is_datetime64_dtype(present):
        return present
    return present[[isinstance(v, datetime) and v.tzinfo is None for v in present]]
