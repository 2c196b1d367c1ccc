"""Files of scored records below `<product>/scores`: the canonical rows, `anomaly_score` and `anomaly_pred`, as Parquet.

A file's name tells its content, so that a month that is scored anew never changes a file that somebody reads. Add here
how such a file is written or read. Keep out which files there are (`store`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from mlops_assets.storage.files import Storage
from mlops_assets.training.detecting import answers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

FOLDER = "scores"


class ScoredFileError(RuntimeError):
    """A kept file of scores isn't the one that was written."""


class Written(NamedTuple):
    """A file below `<product>/scores`, and the hash of its content."""

    file: str
    sha256: str


def table_of(rows: pd.DataFrame, score: np.ndarray) -> pa.Table:
    """The rows with a detector's answers for their scores [n]."""
    import pyarrow as pa

    return pa.Table.from_pandas(rows.assign(**answers(score)), preserve_index=False)


def write(storage: Storage, product: str, folders: Sequence[str], scorer: str, table: pa.Table) -> Written:
    """Keep scored records as `<folders>/<scorer>-<hash>.parquet`. Equal records give the same file."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    sha256 = hashlib.sha256(buffer.getbuffer()).hexdigest()
    name = f"{scorer}-{sha256[:16]}.parquet"
    storage.at(product, FOLDER, *folders).write_bytes(name, buffer.getvalue())
    return Written("/".join([*folders, name]), sha256)


def read(storage: Storage, product: str, file: str, sha256: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Scored records, or some columns of them. Raises ScoredFileError when the content isn't what was written."""
    import pandas as pd

    folder, name = _place(storage, product, file)
    content = folder.read_bytes(name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ScoredFileError(
            f"{folder.locate(name)} isn't what was written: its sha256 differs; score its month again"
        )
    return pd.read_parquet(io.BytesIO(content), columns=None if columns is None else list(columns))


def locate(storage: Storage, product: str, file: str) -> str:
    """Where a file is, for a person."""
    folder, name = _place(storage, product, file)
    return folder.locate(name)


def _place(storage: Storage, product: str, file: str) -> tuple[Storage, str]:
    *folders, name = file.split("/")
    return storage.at(product, FOLDER, *folders), name
