"""Values in files: which format a value gets, how it is written and read, and what can be shown of it.

Tables, arrays, Arrow tables, JSON and bytes have formats that carry data only. Whatever else is pickled, and a pickle
runs code when it is loaded: only a stage's own process may do that, never the platform, whose `load` refuses.
Add a format here with its type, writer and reader. The standard library alone is imported until a value needs more.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import sys
from pathlib import Path
from typing import IO, Any

from mlops_assets.sandbox import tables
from mlops_assets.sandbox.order import Format, StoredValue

SUFFIXES: dict[Format, str] = {
    **{"parquet": "parquet", "npy": "npy", "arrow": "arrow", "json": "json"},
    **{"text": "txt", "bytes": "bin", "pickle": "pickle", "none": "none"},
}
SHOWN_TEXT, SHOWN_COLUMNS, SHOWN_NAME = 500, 200, 100


class UnstorableError(TypeError):
    """A value that can't be written to a file; the message names its type."""


class PickleRefusedError(ValueError):
    """The platform was asked to load a pickle, which could run anything."""


def load(value: StoredValue) -> Any:
    """Read a value in the platform's own process. Raises PickleRefusedError for a pickle, OSError, ValueError."""
    if value.format == "pickle":
        raise PickleRefusedError(f"{value.type_name!r} is stored as a pickle: only a stage of its pipeline may load it")
    if value.path is None:
        return None
    with value.path.open("rb") as file:
        return read(value.format, file)


def dump(value: Any, folder: str, stem: str, own_module: str, *, text: bool = False) -> dict[str, Any]:
    """Write a value below a folder as `<stem>.<suffix>`; its format, file, type name and preview, as JSON.

    Raises UnstorableError. `own_module` is the module of the stage's source: no other process knows its classes.
    `text` writes text as it is instead of as JSON.
    """
    type_name = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None:
        return {"format": "none", "file": None, "type_name": "None", "preview": {}}
    for form in ("text", "pickle") if text and type(value) is str else _formats(value):
        path = os.path.join(folder, f"{stem}.{SUFFIXES[form]}")
        try:
            with open(path, "wb") as file:
                _write(form, value, file, own_module)
        except _Unfit:
            os.unlink(path)
            continue
        return {
            "format": form,
            "file": os.path.basename(path),
            "type_name": type_name[:SHOWN_NAME],
            "preview": preview(value),
        }
    raise AssertionError("pickle takes every value or raises")


def read(form: Format, file: IO[bytes]) -> Any:
    """Read a value of this format. A stage's process only, as it loads pickles; the platform calls `load`."""
    if form == "none":
        return None
    if form == "parquet":
        return tables.read(file)
    if form == "npy":
        import numpy as np

        array = np.load(file, allow_pickle=False)
        return array[()] if array.ndim == 0 else array
    if form == "arrow":
        import pyarrow as pa

        return pa.ipc.open_file(file).read_all()
    if form == "pickle":
        return pickle.load(file)  # noqa: S301 in a stage's own process
    content = file.read()
    if form == "json":
        return json.loads(content)
    return content.decode() if form == "text" else content


def preview(value: Any) -> dict[str, Any]:
    """What can be said of a value in a few words; never raises, whatever the value's own code does."""
    try:
        return _preview(value)
    except Exception:  # noqa: BLE001 a repr of a stranger
        return {}


class _Unfit(Exception):  # noqa: N818 never leaves this file
    """The value isn't exactly what the format can hold."""


def _formats(value: Any) -> tuple[Format, ...]:
    """The formats to try, the last of which takes all there is. Nothing is imported: what isn't can't be its type."""
    if _is(value, "pandas", "DataFrame") or _is(value, "pandas", "Series"):
        return ("parquet", "pickle")
    if _is(value, "numpy", "ndarray") or _is_scalar(value):
        return ("npy", "pickle")
    if _is(value, "pyarrow", "Table"):
        return ("arrow",)
    if type(value) is bytes:
        return ("bytes",)
    return ("json", "pickle") if type(value) in (dict, list, str, int, float, bool) else ("pickle",)


def _is(value: Any, library: str, name: str) -> bool:
    module = sys.modules.get(library)
    return module is not None and type(value) is getattr(module, name, None)


def _is_scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def _write(form: Format, value: Any, file: IO[bytes], own_module: str) -> None:
    if form == "parquet":
        try:
            tables.write(value, file)
        except tables.InexactError as error:
            raise _Unfit from error
    elif form == "npy":
        _write_array(value, file)
    elif form == "arrow":
        import pyarrow as pa

        with pa.ipc.new_file(file, value.schema) as writer:
            writer.write_table(value)
    elif form == "json":
        file.write(_json(value))
    elif form == "text":
        file.write(_text(value))
    elif form == "bytes":
        file.write(value)
    else:
        _pickle(value, file, own_module)


def _write_array(value: Any, file: IO[bytes]) -> None:
    import numpy as np

    array = np.asarray(value)
    # An array without dimensions is read back as a scalar, which it isn't.
    if array.dtype.hasobject or (array.ndim == 0 and isinstance(value, np.ndarray)):
        raise _Unfit
    np.save(file, array, allow_pickle=False)


def _text(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise _Unfit from error


def _json(value: Any) -> bytes:
    if not _is_json(value):
        raise _Unfit
    try:
        # Not-a-number and infinity are written as Python reads them.
        return json.dumps(value).encode()
    except (ValueError, RecursionError) as error:
        raise _Unfit from error


def _is_json(value: Any) -> bool:
    """Whether it comes back exactly: no tuples, no keys but text, no subclasses, at any depth."""
    left, seen = [value], set()
    while left:
        item = left.pop()
        if type(item) is dict:
            if any(type(key) is not str for key in item):
                return False
            below = list(item.values())
        elif type(item) is list:
            below = item
        elif item is None or type(item) in (str, int, float, bool):
            continue
        else:
            return False
        if id(item) in seen:
            return False  # shared or circular: JSON would copy it, or never end
        seen.add(id(item))
        left += below
    return True


class _Pickler(pickle.Pickler):
    """Protocol 5, which refuses classes and functions of the stage's own source."""

    def __init__(self, file: IO[bytes], own_module: str) -> None:
        super().__init__(file, protocol=5)
        self._own = own_module

    def reducer_override(self, value: Any) -> Any:
        """Called for classes and functions, whose pickle is only a name."""
        if getattr(value, "__module__", None) == self._own and hasattr(value, "__qualname__"):
            raise UnstorableError(
                f"{value.__qualname__!r} is defined in the stage's own source, where no other stage finds it:"
                " return plain data, or put it in an installed package"
            )
        return NotImplemented


def _pickle(value: Any, file: IO[bytes], own_module: str) -> None:
    type_name = f"{type(value).__module__}.{type(value).__qualname__}"
    try:
        _Pickler(file, own_module).dump(value)
    except (MemoryError, OSError):
        raise
    except UnstorableError as error:
        raise UnstorableError(f"a value of type {type_name} can't be stored: {error}") from None
    except Exception as error:
        raise UnstorableError(
            f"a value of type {type_name} can't be stored: {type(error).__name__}: {error}"
        ) from error


def _preview(value: Any) -> dict[str, Any]:
    if _is(value, "pandas", "DataFrame"):
        columns = [[str(name)[:SHOWN_NAME], str(kind)] for name, kind in value.dtypes.iloc[:SHOWN_COLUMNS].items()]
        return {"rows": len(value), "column_count": len(value.columns), "columns": columns}
    if _is(value, "pandas", "Series"):
        return {"rows": len(value), "column_count": 1, "columns": [[str(value.name)[:SHOWN_NAME], str(value.dtype)]]}
    if _is(value, "pyarrow", "Table"):
        columns = [[field.name[:SHOWN_NAME], str(field.type)] for field in list(value.schema)[:SHOWN_COLUMNS]]
        return {"rows": value.num_rows, "column_count": value.num_columns, "columns": columns}
    if _is(value, "numpy", "ndarray"):
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    if type(value) in (bytes, str):
        return {"length": len(value), **({"text": value[:SHOWN_TEXT]} if type(value) is str else {})}
    length = {"length": len(value)} if type(value) in (dict, list, tuple, set) else {}
    return {**length, "text": _shortened(value)}


def _shortened(value: Any) -> str:
    import reprlib

    shortener = reprlib.Repr()
    shortener.maxother = shortener.maxstring = SHOWN_TEXT
    return shortener.repr(value)[:SHOWN_TEXT]


def copied(source: Path, folder: str, stem: str) -> dict[str, Any]:
    """Take a file of the stage as it is; format `bytes`. Raises OSError."""
    target = os.path.join(folder, f"{stem}.{SUFFIXES['bytes']}")
    with source.open("rb") as given, open(target, "wb") as taken:
        while block := given.read(io.DEFAULT_BUFFER_SIZE * 16):
            taken.write(block)
        size = taken.tell()
    return {"format": "bytes", "file": os.path.basename(target), "type_name": "file", "preview": {"length": size}}
