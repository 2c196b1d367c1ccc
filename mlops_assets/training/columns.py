"""Canonical rows → model columns, and a copy of the rows with the optional request fields hidden.

Row by row through the product's own `features`, so that training and serving can't differ. Add here what
happens between a record and its model columns. Keep out what is learnt from data: that is `encoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.training.data.spec import Features

if TYPE_CHECKING:
    import pandas as pd

FeatureFunction = Callable[[Mapping[str, Any]], Mapping[str, float | str]]


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python dicts, where every kind of null is None."""
    # The stubs don't know that None is a value to put in.
    cells: Any = rows.astype(object)
    found: list[dict[str, Any]] = cells.where(rows.notna(), None).to_dict("records")
    return found


def hidden(rows: pd.DataFrame, optional: Sequence[str]) -> pd.DataFrame:
    """A copy of the rows whose optional request fields are null; KeyError names fields the rows lack."""
    unknown = [name for name in optional if name not in rows.columns]
    if unknown:
        raise KeyError(f"features.optional names fields that the rows lack: {', '.join(unknown)}")
    return rows.assign(**{name: None for name in optional})


def model_columns(features: FeatureFunction, rows: pd.DataFrame, spec: Features) -> pd.DataFrame:
    """The declared columns: numeric as float32 (missing: NaN), categorical as str (missing: "").

    Raises ValueError naming a declared column that `features` doesn't return, or returns as another type.
    """
    import pandas as pd

    columns = [features(record) for record in records(rows)]
    names = (*spec.numeric, *spec.categorical)
    if columns:
        absent = [name for name in names if name not in columns[0]]
        if absent:
            raise ValueError(f"features() doesn't return the declared columns: {', '.join(absent)}")
    data: dict[str, Any] = {}
    for name in spec.numeric:
        try:
            data[name] = np.array([row[name] for row in columns], dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"features(): the numeric column {name} holds something else: {error}") from error
    for name in spec.categorical:
        values = [row[name] for row in columns]
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"features(): the categorical column {name} holds something that isn't text")
        data[name] = np.array(values, dtype=object)
    return pd.DataFrame(data, columns=list(names))


def views(features: FeatureFunction, rows: pd.DataFrame, spec: Features) -> tuple[pd.DataFrame, ...]:
    """Model columns of the full rows and, when there are optional fields, of the rows with those hidden."""
    full = model_columns(features, rows, spec)
    if not spec.optional:
        return (full,)
    return full, model_columns(features, hidden(rows, spec.optional), spec)
