"""A raw file that is too large for memory, in pieces where rows that are equal are together.

So what cleaning decides of repeated rows is the same as if it saw all rows. The rows are read once and put beside those
of their piece on the local disk. Add here how raw rows are divided. Keep out reading the text (`csv_file`) and what
becomes of a piece (`ingest`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.storage.files import BLOCK, told
from mlops_assets.training.data import csv_file
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.spec import Contract, Source

if TYPE_CHECKING:
    import pandas as pd

# A file is open for each, and a piece of the text is divided among them.
MOST_PIECES = 256
READ_ROWS = 20_000


def read_pieces(
    path: Path, contract: Contract, source: Source, folder: Path, *, name: str | None = None
) -> Iterator[pd.DataFrame]:
    """The rows of a CSV file in pieces of about `source.rows_in_memory`, in an order that their content decides.

    A file with no more rows than that, or any file without that limit, is one piece in its own order. Raises CsvError,
    StorageError, and SourceError when so large a file needs a higher limit.
    """
    most = source.rows_in_memory
    if most is None or (lines := lines_in(path)) <= most + 1:
        yield csv_file.read_rows(path, contract, source, name=name)
        return
    # A field may hold line ends: there can be fewer rows than lines, not more.
    count = -(-lines // most)
    if count > MOST_PIECES:
        raise SourceError(
            f"{name or path}: source.rows_in_memory is {most:,}; "
            f"at least {-(-lines // MOST_PIECES):,} are needed for a file of {lines:,} lines"
        )
    for file in _divide(csv_file.read_pieces(path, contract, source, READ_ROWS, name=name), folder, count):
        piece = _read(file)
        file.unlink()
        if len(piece):
            yield piece


def lines_in(path: Path) -> int:
    """How many line ends a file has, and one more if it doesn't end with one."""
    lines, last = 0, b"\n"
    with told(path), path.open("rb") as file:
        while block := file.read(BLOCK):
            lines, last = lines + block.count(b"\n"), block[-1:]
    return lines + (last != b"\n")


def _divide(pieces: Iterator[pd.DataFrame], folder: Path, count: int) -> list[Path]:
    """A file for each number that a row's content comes to."""
    import pandas as pd
    import pyarrow as pa

    files = [folder / f"raw{number}.arrow" for number in range(count)]
    writers: list[pa.RecordBatchFileWriter] = []
    with ExitStack() as opened, told(folder):
        for piece in pieces:
            schema = pa.schema([(str(column), pa.string()) for column in piece.columns])
            if not writers:
                writers = [opened.enter_context(pa.ipc.new_file(str(file), schema)) for file in files]
            batch = pa.RecordBatch.from_pandas(piece, schema, preserve_index=False)
            number = pd.util.hash_pandas_object(piece, index=False).to_numpy() % np.uint64(count)
            order = np.argsort(number, kind="stable")
            bounds = np.searchsorted(number[order], np.arange(count + 1))
            divided = batch.take(pa.array(order))
            for one, (first, end) in enumerate(pairwise(bounds)):
                if end > first:
                    writers[one].write_batch(divided.slice(first, end - first))
    return files


def _read(file: Path) -> pd.DataFrame:
    import pyarrow as pa

    with told(file), pa.ipc.open_file(str(file)) as reader:
        return reader.read_all().to_pandas()
