"""Tables of any size as one Parquet file, written and read in pieces.

Rows that come in one piece give the file that pandas writes. Add here how tables are put together and taken apart.
Keep out what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.storage.files import told

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Of one read; its columns are in memory twice, as they are read and as pandas has them.
READ_ROWS = 20_000


class ParquetPieces:
    """Takes pieces of a table with the same columns, and makes them one file in a local folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.rows = 0
        self.columns: dict[str, str] = {}
        self._folder, self._name = folder, name
        self._files: list[Path] = []

    def add(self, piece: pd.DataFrame) -> None:
        """Keep a piece, without its index. Raises StorageError."""
        path = self._folder / f"{self._name}.{len(self._files)}"
        with told(path):
            piece.to_parquet(path, index=False)
        self._files.append(path)
        self.rows += len(piece)
        self.columns = self.columns or {str(c): str(t) for c, t in piece.dtypes.items()}

    def file(self) -> Path:
        """All pieces in their order, as one file. Raises StorageError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if len(self._files) == 1:
            return self._files[0]
        path = self._folder / self._name
        # A column that is empty in one piece, or whole numbers only, is what it is in the others.
        schema = pa.unify_schemas(
            [pq.read_schema(file).remove_metadata() for file in self._files], promote_options="permissive"
        )
        with told(path), pq.ParquetWriter(path, schema) as writer:
            for file in self._files:
                for batch in _batches(file):
                    writer.write_table(_as(batch, schema))
                file.unlink()
        self._files = [path]
        return path


def read_pieces(path: Path, rows: int | None) -> Iterator[pd.DataFrame]:
    """A local Parquet file in pieces of about `rows`, or whole. Raises StorageError."""
    import pandas as pd

    if rows is None or rows_in(path) <= rows:
        with told(path):
            whole = pd.read_parquet(path)
        yield whole
        return
    for batch in _batches(path, rows):
        yield batch.to_pandas()


def rows_in(path: Path) -> int:
    """How many rows a local Parquet file has."""
    import pyarrow.parquet as pq

    with told(path):
        return int(pq.read_metadata(path).num_rows)


def read_column(path: Path, name: str) -> Iterator[pd.Series]:
    """One column of a local Parquet file, piece by piece."""
    for batch in _batches(path, columns=[name]):
        yield batch.to_pandas()[name]


def read_sample(path: Path, rows: int, seed: int) -> pd.DataFrame:
    """`rows` of a local Parquet file, or all if it has fewer, in their order; any as likely as any other.

    The same file and seed give the same rows. Raises StorageError.
    """
    import pandas as pd

    total = rows_in(path)
    if total <= rows:
        return next(read_pieces(path, None))
    places = np.sort(np.random.default_rng(seed).choice(total, rows, replace=False))
    found, first = [], 0
    for batch in _batches(path):
        inside = places[np.searchsorted(places, first) : np.searchsorted(places, first + batch.num_rows)]
        if len(inside):
            found.append(batch.take(inside - first).to_pandas())
        first += batch.num_rows
    return pd.concat(found, ignore_index=True)


def _batches(path: Path, rows: int = READ_ROWS, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with told(path), pq.ParquetFile(path) as source:
        yield from source.iter_batches(rows, columns=columns)


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches([batch]).replace_schema_metadata().cast(schema)
