"""Features by groups of months, so that no more records are in memory at once than the product allows.

Small features are read whole. Larger ones are read once, piece by piece, and each piece's records are put beside those
of the same group, on the local disk. Add here how records come to be scored. Keep out the scoring (`scoring`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlops_assets.storage.files import Storage, told
from mlops_assets.training import feature_set
from mlops_assets.training.records import FeatureSet
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

# Of one piece; its columns as they are read and as they are divided are in memory beside a group.
PIECE_ROWS = 20_000


class Group(NamedTuple):
    """Some months, and the table of features with all of their records, perhaps with others too."""

    months: tuple[str, ...]
    table: pd.DataFrame


def groups(
    product: Product,
    features: FeatureSet,
    storage: Storage,
    facts: Mapping[str, Mapping[str, Any]],
    months: Sequence[str],
    most: int,
) -> Iterator[Group]:
    """The months, oldest first, with their records. `facts` are those of all months of the features.

    Raises FeatureSetError when the file isn't the one that was written, or StorageError.
    """
    if sum(int(one["rows"]) for one in facts.values()) <= most:
        yield Group(tuple(months), feature_set.read(product, features, storage))
        return
    divided = divide({month: int(facts[month]["rows"]) if month in facts else 0 for month in sorted(set(months))}, most)
    assert product.detector is not None
    with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
        whole = Path(folder) / "features.parquet"
        feature_set.fetch(product, features, storage, whole)
        with told(folder):
            files = _put_together(whole, product.detector.time, divided)
        for group, file in zip(divided, files, strict=True):
            yield Group(group, _read(file))
            file.unlink()


def divide(rows: Mapping[str, int], most: int) -> list[tuple[str, ...]]:
    """The months in their order, in groups of at most `most` rows; a month alone may have more."""
    found: list[list[str]] = []
    filled = 0
    for month, count in rows.items():
        if not found or filled + count > most:
            found.append([])
            filled = 0
        found[-1].append(month)
        filled += count
    return [tuple(group) for group in found]


def _put_together(whole: Path, time: str, divided: Sequence[Sequence[str]]) -> list[Path]:
    """A file for each group with its records, in the order in which they were."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    months = np.array([month for group in divided for month in group], dtype="datetime64[M]")
    number_of = np.repeat(np.arange(len(divided)), [len(group) for group in divided])
    files = [whole.with_name(f"group{number}.arrow") for number in range(len(divided))]
    with ExitStack() as opened:
        source = opened.enter_context(pq.ParquetFile(whole))
        writers = [opened.enter_context(pa.ipc.new_file(str(file), source.schema_arrow)) for file in files]
        for piece in source.iter_batches(PIECE_ROWS):
            month = piece.column(time).to_numpy(zero_copy_only=False).astype("datetime64[M]")
            place = np.minimum(np.searchsorted(months, month), len(months) - 1)
            number = np.where(months[place] == month, number_of[place], -1)
            for one in np.unique(number[number >= 0]):
                writers[one].write_batch(piece.filter(pa.array(number == one)))
    return files


def _read(file: Path) -> pd.DataFrame:
    import pyarrow as pa

    with told(file), pa.ipc.open_file(str(file)) as reader:
        return reader.read_all().to_pandas()
