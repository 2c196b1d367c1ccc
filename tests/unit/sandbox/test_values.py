"""Values come back from their files as they were, or are refused with their type's name."""

from __future__ import annotations

import hashlib
import math
import types
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_assets.sandbox import values
from mlops_assets.sandbox.order import StoredValue

NOW = pd.Timestamp("2024-02-29 12:00:00.123456789")


def stored(value: Any, folder: Path, **options: Any) -> StoredValue:
    told = values.dump(value, str(folder), "value", "__stage__", **options)
    path = folder / told["file"] if told["file"] else None
    content = path.read_bytes() if path else b""
    digest = hashlib.sha256(content).hexdigest()
    return StoredValue(told["format"], path, len(content), digest, told["type_name"], told["preview"])


def read_back(value: StoredValue) -> Any:
    if value.path is None:
        return values.load(value)
    with value.path.open("rb") as file:
        return values.read(value.format, file)


FRAMES = {
    "plain": pd.DataFrame({"x": [1, 2], "y": [0.5, math.nan], "z": ["a", None], "b": [True, False]}),
    "small types": pd.DataFrame({"i": np.array([1, 2], "int8"), "u": np.array([1, 2], "uint16"), "f": np.float32(1)}),
    "nullable": pd.DataFrame({"i": pd.array([1, None], "Int32"), "s": pd.array(["é", None], "string")}),
    "categories": pd.DataFrame({"c": pd.Categorical(["b", "a"], categories=["b", "a", "unused"], ordered=True)}),
    "times": pd.DataFrame({"t": [NOW, NOW], "z": [NOW.tz_localize("Europe/Madrid")] * 2, "d": [NOW - NOW] * 2}),
    "seconds": pd.DataFrame({"t": np.array(["2024-01-01"], "datetime64[s]")}),
    "dates": pd.DataFrame({"d": [date(2024, 1, 1), None], "n": [b"\0", b"x"]}),
    "periods": pd.DataFrame({"p": pd.period_range("2024-01", periods=3, freq="M")}),
    "intervals": pd.DataFrame({"i": pd.interval_range(0, 3)}),
    "named index": pd.DataFrame({"x": [1, 2]}, index=pd.Index(["ü", "b"], name="key")),
    "index of times": pd.DataFrame({"x": [1, 2, 3]}, index=pd.date_range("2024-01-01", periods=3, freq="D", tz="UTC")),
    "two levels": pd.DataFrame({"x": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", None])),
    "range": pd.DataFrame({"x": [1, 2]}, index=pd.RangeIndex(10, 14, 2)),
    "no rows": pd.DataFrame({"x": pd.Series([], dtype="float32"), "s": pd.Series([], dtype="object")}),
    "numbers as columns": pd.DataFrame({0: [1], 1: [2]}),
    "doubled columns": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "mixed column": pd.DataFrame({"x": [1, "a", None]}),
    "objects that are numbers": pd.DataFrame({"x": pd.Series([1, 2], dtype="object")}),
    "lists in cells": pd.DataFrame({"x": [[1, 2], [3]]}),
    "complex": pd.DataFrame({"x": [1j]}),
    "decimals": pd.DataFrame({"x": [Decimal("1.10"), Decimal("2")]}),
    "odd names": pd.DataFrame({'a/"b" \' ; <i>': [1], "": [2], "日本": [3]}),
    "levels of columns": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])),
}


@pytest.mark.parametrize("name", FRAMES)
def test_tables_come_back_exactly(name: str, tmp_path: Path) -> None:
    frame = FRAMES[name]
    back = read_back(stored(frame, tmp_path))
    pd.testing.assert_frame_equal(back, frame, check_exact=True, check_column_type="equiv")
    assert type(back.index) is type(frame.index)


@pytest.mark.parametrize("name", [None, "x", 3, ("a", 1)])
def test_series_come_back_with_their_name_and_index(name: Any, tmp_path: Path) -> None:
    series = pd.Series([1.5, 2.5], name=name, index=pd.date_range("2024-01-01", periods=2, freq="h"))
    pd.testing.assert_series_equal(read_back(stored(series, tmp_path)), series)


def test_usual_tables_are_parquet_that_the_platform_may_read(tmp_path: Path) -> None:
    value = stored(FRAMES["plain"], tmp_path)
    assert value.format == "parquet"
    assert len(values.load(value)) == 2
    assert value.preview["rows"] == 2
    assert value.preview["columns"][1] == ["y", "float64"]


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="int16").reshape(2, 3),
        np.asfortranarray(np.ones((2, 3))),
        np.array([("a", 1)], dtype=[("s", "U3"), ("n", "i4")]),
        np.array(["2024-01-01"], dtype="datetime64[D]"),
        np.zeros((0, 4)),
        np.array(5),
        np.array([{"a": 1}, None], dtype=object),
    ],
)
def test_arrays_come_back_exactly(array: Any, tmp_path: Path) -> None:
    back = read_back(stored(array, tmp_path))
    np.testing.assert_array_equal(back, array)
    assert type(back) is type(array)
    assert back.dtype == array.dtype


def test_scalars_of_numpy_stay_scalars(tmp_path: Path) -> None:
    value = stored(np.float32(0.1), tmp_path)
    assert value.format == "npy"
    assert type(values.load(value)) is np.float32


def test_arrow_tables_come_back(tmp_path: Path) -> None:
    table = pa.table({"x": [1, None], "l": [[1], []]}).replace_schema_metadata({"k": "v"})
    value = stored(table, tmp_path)
    assert values.load(value).equals(table, check_metadata=True)


@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True, "\ud800 ü \0"]}, [], "text", 1 << 70, -0.0, False, b"\0\xff"]
)
def test_plain_data_can_be_read_by_the_platform(value: Any, tmp_path: Path) -> None:
    back = values.load(stored(value, tmp_path))
    assert back == value
    assert type(back) is type(value)


def test_nothing_needs_no_file(tmp_path: Path) -> None:
    value = stored(None, tmp_path)
    assert (value.path, values.load(value)) == (None, None)
    assert not list(tmp_path.iterdir())


SHARED: list[int] = [1]


@pytest.mark.parametrize(
    "value",
    [(1, 2), {1: "a"}, {"a": (1,)}, {"a", "b"}, datetime(2024, 1, 1, tzinfo=UTC), bytearray(b"x"), 1 << 20_000, 1j],
    ids=lambda value: type(value).__name__,
)
def test_other_objects_are_pickled_which_the_platform_refuses_to_load(value: Any, tmp_path: Path) -> None:
    kept = stored(value, tmp_path)
    assert kept.format == "pickle"
    assert read_back(kept) == value
    with pytest.raises(values.PickleRefusedError, match="only a stage"):
        values.load(kept)


def test_lists_that_hold_themselves_or_one_list_twice_keep_that(tmp_path: Path) -> None:
    back = read_back(stored([SHARED, SHARED], tmp_path))
    assert back[0] is back[1]


def nothing() -> Any:
    yield 1


class Local:
    """Stands for a class of a stage's source."""

    __module__ = "__stage__"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (lambda: 1, "builtins.function"),
        (nothing(), "builtins.generator"),
        (open, "builtin_function_or_method"),
        (types.ModuleType("m"), "builtins.module"),
        ({"model": nothing()}, "builtins.dict"),
        (Local(), "Local"),
        ([Local], "Local"),
    ],
)
def test_what_cannot_be_stored_is_named(value: Any, named: str, tmp_path: Path) -> None:
    if value is open:
        value = (tmp_path / "open").open("wb")
        named = "BufferedWriter"
    with pytest.raises(values.UnstorableError, match=named):
        values.dump(value, str(tmp_path), "value", "__stage__")
    if named == "BufferedWriter":
        value.close()


def test_texts_of_artifacts_are_kept_as_they_are(tmp_path: Path) -> None:
    value = stored("# Überschrift\n", tmp_path, text=True)
    assert value.path is not None
    assert value.path.read_text(encoding="utf-8") == "# Überschrift\n"
    assert values.load(value) == "# Überschrift\n"


def test_a_preview_survives_hostile_objects() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    assert isinstance(values.preview(Hostile()), dict)
    assert len(values.preview({"a": "x" * 10_000})["text"]) <= values.SHOWN_TEXT
