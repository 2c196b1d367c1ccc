"""Program that reads the first rows of a stranger's table or array and writes them as JSON: it may crash, or worse.

Started by preview_tables.py as `python -I preview_process.py FORMAT ROWS COLUMNS USER`, the file as its input. The
libraries that read such files weren't made for files that lie, so it gives up all rights before it looks at the first
byte, and its memory and time are limited. Add a format here with its reader.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from mlops_assets.sandbox import privileges, system

LIMITS = {"memory_mb": 1024, "cpu_seconds": 10, "output_mb": 16, "processes": 64}
LONGEST_CELL, LONGEST_NAME = 300, 200
# A script can't tell larger ones apart.
LARGEST_NUMBER = 2**53
# So many batches are counted; each costs a look into the file.
COUNTED_BATCHES = 1000
# What values of Arrow import when they become Python's; nothing can be found any more once the rights are given up.
NEEDED_LATER = ("datetime", "decimal", "uuid", "zoneinfo", "importlib.resources")
_ZEROS = re.compile(r"\.0+(?=\D*$)")


def parquet(rows: int, columns: int) -> dict[str, Any]:
    """The first rows of a Parquet file; the pages they are in are read, and nothing else."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(_given())
    names = file.schema_arrow.names[:columns]
    shown: list[list[Any]] = []
    if file.metadata.num_rows and names:
        batch = next(file.iter_batches(batch_size=rows, columns=names, use_threads=False))
        shown = _rows(batch, rows, columns)
    return _told(names, shown, file.metadata.num_rows, len(file.schema_arrow.names))


def arrow(rows: int, columns: int) -> dict[str, Any]:
    """The first rows of an Arrow file, which is mapped, not read."""
    import pyarrow as pa

    options = pa.ipc.IpcReadOptions(use_threads=False, ensure_alignment=pa.ipc.Alignment.Any)
    reader = pa.ipc.open_file(_mapped, options=options)
    names = reader.schema.names[:columns]
    shown: list[list[Any]] = []
    total = 0
    for number in range(reader.num_record_batches):
        if number >= COUNTED_BATCHES:
            total = -1
            break
        batch = reader.get_batch(number)
        total += batch.num_rows
        if len(shown) < rows:
            shown += _rows(batch, rows - len(shown), columns)
    return _told(names, shown, total, len(reader.schema.names))


def npy(rows: int, columns: int) -> dict[str, Any]:
    """The beginning of an array with up to two dimensions."""
    import numpy as np

    file = _given()
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, kind = read(file)
    if len(shape) > 2:
        return {"problem": f"an array of {len(shape)} dimensions ({' × '.join(map(str, shape))}) can't be shown"}
    if kind.hasobject:
        return {"problem": "an array of Python objects is never loaded here"}
    height, width = (*shape, *(1, 1)[len(shape) :])
    cells = min(columns, width)
    shown = []
    for row in range(min(rows, height)):
        places = [column * height + row if by_columns else row * width + column for column in range(cells)]
        start = os.fstat(0).st_size - kind.itemsize * height * width
        shown.append([_read_cell(file, start + place * kind.itemsize, kind) for place in places])
    names = [str(number) for number in range(cells)]
    if kind.names and len(shape) < 2:
        names, shown = list(kind.names[:columns]), [[_cell(value) for value in row[0][:columns]] for row in shown]
        width = len(kind.names)
    return _told(names, [[_cell(value) for value in row] for row in shown], height, width)


def _read_cell(file: IO[bytes], place: int, kind: Any) -> Any:
    import numpy as np

    file.seek(place)
    return np.frombuffer(file.read(kind.itemsize), kind)[0].tolist()


FORMATS: dict[str, Callable[[int, int], dict[str, Any]]] = {"parquet": parquet, "arrow": arrow, "npy": npy}
_mapped: Any = None


def _given() -> IO[bytes]:
    return os.fdopen(0, "rb", closefd=False)


def _rows(batch: Any, rows: int, columns: int) -> list[list[Any]]:
    part = batch.slice(0, rows).select(list(range(min(columns, batch.num_columns))))
    # Offsets that lead out of the file must not be followed.
    part.validate(full=True)
    cells = [list(_cells(column)) for column in part.columns]
    return [list(row) for row in zip(*cells, strict=True)]


def _cells(column: Any) -> Iterator[Any]:
    for value in _with_times_as_text(column):
        try:
            yield _cell(value.as_py())
        except Exception:  # noqa: BLE001 a value that Python has no type for
            yield "…"


def _with_times_as_text(column: Any) -> Any:
    """Times have finer units, and more years, than Python's own."""
    import pyarrow as pa

    if not pa.types.is_temporal(column.type):
        return column
    try:
        texts = column.cast(pa.string())
    except pa.ArrowException:  # a time zone that this machine doesn't know, or a unit that has no text
        return column
    return pa.array([_ZEROS.sub("", text) if text else text for text in texts.to_pylist()], pa.string())


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_NUMBER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"


def _told(names: Sequence[str], rows: list[list[Any]], total: int, width: int) -> dict[str, Any]:
    known = total if total >= 0 else None
    more = known is None or known > len(rows) or width > len(names)
    return {"columns": [name[:LONGEST_NAME] for name in names], "rows": rows, "total_rows": known, "truncated": more}


def _give_up_rights(user: int) -> None:
    root = os.geteuid() == 0
    if root:
        with suppress(OSError):  # where the kernel has no such thing, or a container may not
            system.unshare(system.NEW_NETWORK)
    privileges.limit_resources(LIMITS, own_user=root)
    privileges.become(user if root else None, capable=root)


def main(form: str, rows: int, columns: int, user: int) -> None:
    """Read the file, write what was found, and end the process."""
    global _mapped
    for module in NEEDED_LATER:
        importlib.import_module(module)
    if form == "npy":
        import numpy  # noqa: F401 now, as its files may be out of reach later
    else:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.parquet

        if form == "arrow":
            _mapped = pa.memory_map("/proc/self/fd/0")
    _give_up_rights(user)
    try:
        found = FORMATS[form](rows, columns)
    except MemoryError:
        found = {"problem": "it takes too much memory to be shown"}
    except Exception as error:  # noqa: BLE001 whatever a damaged file leads to
        found = {"problem": f"the file can't be read: {type(error).__name__}: {str(error)[:LONGEST_CELL]}"}
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    # Arrow's threads now and then abort a process that ends in the usual way, after all is told.
    os._exit(0)


if __name__ == "__main__":
    sys.path.pop(0)
    name, *numbers = sys.argv[1:]
    main(name, *(int(number) for number in numbers))
