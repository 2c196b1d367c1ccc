"""One side of a drift comparison, and how a logged value is read, so that both sides read alike.

Add a fact here when both sides know it, and a kind of value when requests hold one. Keep out where a side comes from
(`references`, `days`, `recent`) and what is made of the two (`judge`, `report`). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.drift.facts import Monitored

if TYPE_CHECKING:
    import pandas as pd

ESTIMATE, ERROR = "estimate", "error"


@dataclass(frozen=True)
class Sample:
    """At most `sample_rows` rows of one side, in two frames that need not have the same rows.

    `rows`: one column per monitored feature, as requests have them; numbers as float64 (missing: NaN), categories as
    text (missing: None). `scored`: float64 columns `estimate` and, for a regression, `error` (a share of the actual
    value); NaN where it is not known. Of live data, the two in one row need not be of one prediction.
    `logged_rows`: rows there were before sampling; of a reference, the rows that the model was trained on.
    """

    rows: pd.DataFrame
    scored: pd.DataFrame
    logged_rows: int


def features(monitored: Sequence[Monitored]) -> tuple[Monitored, ...]:
    """The columns of `Sample.rows`."""
    return tuple(column for column in monitored if column.role == "feature")


def scores(monitored: Sequence[Monitored]) -> tuple[str, ...]:
    """Names of the columns of `Sample.scored`."""
    return tuple(column.name for column in monitored if column.role != "feature")


def number(value: Any) -> float:
    """A logged value as a finite number: truth values are 1 and 0, text is read; NaN when it is none."""
    if isinstance(value, str):
        value = {"true": 1.0, "false": 0.0}.get(value, value)
    try:
        found = math.nan if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def label(value: Any) -> str | None:
    """A logged value as the name of a category: 5, 5.0 and "5" are one. None when it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def framed(columns: Sequence[Monitored], values: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A frame of feature columns from logged values; a column without any is all missing."""
    import numpy as np
    import pandas as pd

    rows = max((len(given) for given in values.values()), default=0)
    nothing: list[Any] = [None] * rows
    data: dict[str, Any] = {}
    for column in columns:
        given = values.get(column.name, nothing)
        if column.kind == "number":
            data[column.name] = np.array([number(value) for value in given], dtype=np.float64)
        else:
            data[column.name] = pd.Series([label(value) for value in given], dtype=object)
    return pd.DataFrame(data, columns=[column.name for column in columns])


def scored(names: Sequence[str], values: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """A frame of scores, one below the other; what stands beside each other need not be of one prediction."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(values.get(name, ()), dtype="float64") for name in names})
