"""pandas tables in Parquet files, only if they come back as they were: columns, index, types, names.

What Parquet would change without a word (mixed columns, lists in cells, odd column names) raises InexactError. One
thing may change: a missing text is None afterwards, whether it was None or NaN.
"""

from __future__ import annotations

import json
from typing import IO, Any

# A column of Python objects may hold these, because they come back as the same objects.
_OBJECTS = ("string", "large_string", "binary", "large_binary", "date32[day]", "null")
_CHANGED_BY_PARQUET = ("timestamp[s", "duration[s")
_KEY = b"mlops_value"
_ONLY = "value"


class InexactError(ValueError):
    """A table that would come back different."""


def write(value: Any, file: IO[bytes]) -> None:
    """Write a DataFrame or a Series. Raises InexactError."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    series = isinstance(value, pd.Series)
    if series and not (value.name is None or type(value.name) in (str, int)):
        raise InexactError("the name of the series")
    frame = value.to_frame(_ONLY) if series else value
    if frame.attrs or not _plain_columns(frame):
        raise InexactError("columns that aren't distinct texts, or attributes")
    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise InexactError(str(error)) from error
    _check(frame, table)
    facts = {"series": series, "name": value.name if series else None, "frequency": _frequency(frame)}
    metadata = {**(table.schema.metadata or {}), _KEY: json.dumps(facts).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), file)


def read(file: IO[bytes]) -> Any:
    """The DataFrame or Series of a Parquet file, also of one that was written by something else."""
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    facts = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    frame = table.to_pandas()
    if facts.get("frequency"):
        frame.index.freq = facts["frequency"]
    return frame[_ONLY].rename(facts["name"]) if facts.get("series") else frame


def _plain_columns(frame: Any) -> bool:
    names = frame.columns
    return names.nlevels == 1 and names.is_unique and names.dtype == object and all(type(n) is str for n in names)


def _check(frame: Any, table: Any) -> None:
    """Compare the types that would come back; that costs nothing, as no rows are needed."""
    back = table.slice(0, 0).to_pandas()
    if list(back.dtypes) != list(frame.dtypes) or back.columns.name != frame.columns.name:
        raise InexactError("types of columns")
    if any(str(field.type).startswith(_CHANGED_BY_PARQUET) for field in table.schema):
        raise InexactError("times in whole seconds, which Parquet has not")
    index, returned = frame.index, back.index
    if type(index) is not type(returned) or list(index.names) != list(returned.names) or index.dtype != returned.dtype:
        raise InexactError("the index")
    if index.nlevels > 1 and list(index.dtypes) != list(returned.dtypes):
        raise InexactError("the levels of the index")
    for name, kind in zip(frame.columns, frame.dtypes, strict=True):
        if kind.kind == "O" and str(table.schema.field(name).type) not in _OBJECTS:
            raise InexactError(f"objects in column {name}")


def _frequency(frame: Any) -> str | None:
    frequency = getattr(frame.index, "freqstr", None)
    return frequency if hasattr(frame.index, "freq") and type(frame.index).__name__ != "PeriodIndex" else None
