"""The files of one hour of the prediction log, read batch by batch and offered to a sample.

Add here a column of the log that a comparison needs. Keep out which hours are read (`days`) and which rows are kept
(`keyed`). Only the columns that are needed are read: an hour of any size needs the memory of a few batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.drift import keyed
from mlops_assets.drift.facts import Kind, Monitored
from mlops_assets.drift.keyed import ORDER, Smallest
from mlops_assets.drift.sample import ERROR, ESTIMATE, label, number
from mlops_assets.prediction_log.exporting import FEEDBACK, PREDICTIONS
from mlops_assets.storage.files import Storage, StorageError, told
from mlops_assets.storage.local_file import local_file

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 32_768
ACTUAL = "actual_price"


def offer_predictions(
    folder: Storage, columns: Sequence[Monitored], release: int, seed: int, asked: Smallest, answered: Smallest
) -> int:
    """Offer what was asked in the hour, and the estimates that `release` gave; how many rows the hour has.

    Raises MissingFileError; StorageError when the file can't be read.
    """
    rows = 0
    wanted = ["id", "version", "user_hash", ESTIMATE, *(f"feature_{column.name}" for column in columns)]
    for batch in _batches(folder, PREDICTIONS, wanted):
        rows += batch.num_rows
        values = {column.name: _Values(batch, f"feature_{column.name}", column.kind) for column in columns}
        keys = _keys(batch, list(values.values()), seed)
        places = asked.wanted(keys)
        asked.offer(
            keys[places],
            {ORDER: _texts(batch, "id", places)} | {name: value.taken(places) for name, value in values.items()},
        )
        estimate = _floats(batch, ESTIMATE)
        own = (_floats(batch, "version") == release) & np.isfinite(estimate)
        places = answered.wanted(np.where(own, keys, keyed.ALL))
        places = places[own[places]]
        answered.offer(keys[places], {ORDER: _texts(batch, "id", places), ESTIMATE: estimate[places]})
    return rows


def offer_errors(folder: Storage, release: int, seed: int, valued: Smallest) -> None:
    """Offer |estimate - actual| / actual of the actual values that arrived in the hour for answers of `release`.

    Raises MissingFileError; StorageError when the file can't be read.
    """
    import pyarrow.compute as pc

    for batch in _batches(folder, FEEDBACK, ["id", "prediction_id", "at", "type", "value", "version", ESTIMATE]):
        own = pc.and_(pc.equal(batch.column("type"), ACTUAL), pc.equal(batch.column("version"), release))
        found = batch.filter(own)
        actual, estimate = _floats(found, "value"), _floats(found, ESTIMATE)
        known = np.isfinite(actual) & np.isfinite(estimate) & (actual > 0)
        error = np.full(found.num_rows, np.nan)
        error[known] = np.abs(estimate[known] - actual[known]) / actual[known]
        keys = keyed.of_texts(_texts(found, "prediction_id"), seed)
        places = valued.wanted(keys)
        moments = found.column("at").cast("int64").take(places).to_pylist()
        order = [f"{at:020d} {one}" for at, one in zip(moments, _texts(found, "id", places), strict=True)]
        valued.offer(keys[places], {ORDER: order, ERROR: error[places]})


def _batches(folder: Storage, name: str, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with local_file(folder, name) as path, told(folder.locate(name)):
        try:
            with pq.ParquetFile(path) as file:
                there = [column for column in wanted if column in file.schema_arrow.names]
                yield from file.iter_batches(BATCH_ROWS, columns=there)
        except pa.ArrowException as error:
            raise StorageError(f"{folder.locate(name)}: not a readable Parquet file: {error}") from error


def _keys(batch: pa.RecordBatch, values: Sequence[_Values], seed: int) -> np.ndarray:
    """Of a known user's row: the user and what was asked. Of another's: its id, so that every one counts."""
    user = _Values(batch, "user_hash", "category")
    keys = keyed.joined(seed, [user.hashes(seed), *(value.hashes(seed) for value in values)])
    nobody = np.flatnonzero(batch.column("user_hash").is_null().to_numpy(zero_copy_only=False))
    keys[nobody] = keyed.of_texts(_texts(batch, "id", nobody), seed)
    return keys


class _Values:
    """A column of a batch as the values that occur and, for each row, the place of its own among them.

    Hours differ in a feature's type, or lack the feature; the values come out the same.
    """

    def __init__(self, batch: pa.RecordBatch, name: str, kind: Kind) -> None:
        self._number = kind == "number"
        given: Any = None
        count = 0
        self._places = np.zeros(batch.num_rows, dtype=np.int64)
        if name in batch.schema.names:
            encoded = batch.column(name).dictionary_encode()
            given, count = encoded.dictionary, len(encoded.dictionary)
            self._places = encoded.indices.fill_null(count).to_numpy(zero_copy_only=False)
        # The last one stands for a missing value.
        if self._number:
            self._distinct = np.append(_numbers(given), np.nan)
        else:
            self._distinct = np.array([*map(label, given.to_pylist() if count else ()), None], dtype=object)

    def hashes(self, seed: int) -> np.ndarray:
        """[rows]; equal values have equal ones, in every batch."""
        if self._number:
            return keyed.of_numbers(self._distinct)[self._places]
        found = np.zeros(len(self._distinct), dtype=np.uint64)
        found[:-1] = keyed.of_texts(self._distinct[:-1], seed)
        return found[self._places]

    def taken(self, places: np.ndarray) -> np.ndarray:
        """Values of some rows."""
        return self._distinct[self._places[places]]


def _numbers(values: pa.Array | None) -> np.ndarray:
    if values is None:
        return np.empty(0)
    if str(values.type) == "double":
        found = values.to_numpy(zero_copy_only=False)
        return np.where(np.isfinite(found), found, np.nan)
    return np.array([number(value) for value in values.to_pylist()], dtype=np.float64)


def _floats(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return batch.column(name).cast("float64").to_numpy(zero_copy_only=False)


def _texts(batch: pa.RecordBatch, name: str, places: np.ndarray | None = None) -> np.ndarray:
    column = batch.column(name) if places is None else batch.column(name).take(places)
    return np.array(column.to_pylist(), dtype=object)
