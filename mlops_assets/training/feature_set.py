"""The features stage as a table: cleaned rows, their side of the split, and their model columns in every view.

Written once per run as Parquet, so that the model stage trains on exactly what a person can look at; where a product
says how many rows may be in memory, piece by piece. Keep out how columns come about (`columns`) and how rows are
divided (`split` by content, `months` in time).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.storage.files import Storage, sha256_of
from mlops_assets.training import months
from mlops_assets.training.columns import FeatureFunction, views
from mlops_assets.training.data.parquet_pieces import ParquetPieces, read_column, read_pieces, read_sample
from mlops_assets.training.records import DataVersion, FeatureSet
from mlops_assets.training.spec import Detector, Product
from mlops_assets.training.split import in_holdout, row_keys
from mlops_assets.training.target import TargetScale
from mlops_assets.training.trials import TrainingSet

if TYPE_CHECKING:
    import pandas as pd

KEY, HOLDOUT = "split.key", "split.holdout"
VIEWS = ("full", "required_only")
HEAD_ROWS = 20
SAMPLE_SEED = 42


class FeatureSetError(RuntimeError):
    """A kept feature table isn't what the features stage wrote."""


def build(
    product: Product, features: FeatureFunction, rows: pd.DataFrame, holdout: np.ndarray | None = None
) -> pd.DataFrame:
    """Cleaned rows plus `split.holdout`, `split.key` where folds need one, and `<view>.<model column>` for each view.

    `holdout` overrides the product's own split with a mask (benchmarks). Raises ValueError naming what is wrong with
    the target, the features or the split.
    """
    until = None
    if product.detector is not None:
        until = months.train_until(months.months_of(rows, product.detector.time), product.detector.holdout_share)
    table = _table(product, features, rows, until, holdout)
    _both_sides(len(table), int(table[HOLDOUT].sum()))
    return table


def _table(
    product: Product,
    features: FeatureFunction,
    rows: pd.DataFrame,
    until: str | None,
    holdout: np.ndarray | None = None,
) -> pd.DataFrame:
    import pandas as pd

    divided = _in_time(product, rows, until) if until is not None else _by_content(product, rows)
    if holdout is not None:
        divided[HOLDOUT] = holdout
    parts = [rows.reset_index(drop=True), divided]
    for name, view in zip(VIEWS, views(features, rows, product.features), strict=False):
        parts.append(view.add_prefix(f"{name}."))
    return pd.concat(parts, axis=1)


def _both_sides(rows: int, held: int) -> None:
    if held in (0, rows):
        raise ValueError(f"the hold-out leaves a side of {rows} rows empty")


def _by_content(product: Product, rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    target = product.target.column
    if target not in rows.columns:
        raise ValueError(f"the rows lack the target column {target}")
    keys = row_keys(rows, target=target, seed=product.search.seed)
    return pd.DataFrame({KEY: keys, HOLDOUT: in_holdout(keys, product.search.holdout_share)})


def _in_time(product: Product, rows: pd.DataFrame, until: str) -> pd.DataFrame:
    import pandas as pd

    assert product.detector is not None
    return pd.DataFrame({HOLDOUT: months.months_of(rows, product.detector.time) > until})


def make(
    product: Product, features: FeatureFunction, dataset: DataVersion, rows: Path, storage: Storage, name: str
) -> tuple[FeatureSet, pd.DataFrame]:
    """The table of `build` for a local Parquet file of cleaned rows, kept; its record, and the table's first rows.

    It is `<product>/features/<name>.parquet`, with its months beside it where it is divided in time. Raises ValueError
    as `build` does, and StorageError.
    """
    until = None if product.detector is None else _train_until(rows, product.detector)
    counted, held, head = months.Fingerprints(), 0, None
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        pieces = ParquetPieces(Path(temporary), "features.parquet")
        for piece in read_pieces(rows, product.source.rows_in_memory):
            table = _table(product, features, piece, until)
            if product.detector is not None:
                counted.add(piece, months.months_of(piece, product.detector.time))
            held += int(table[HOLDOUT].sum())
            pieces.add(table)
            head = table.head(HEAD_ROWS).copy() if head is None else head
        _both_sides(pieces.rows, held)
        folder = storage.at(product.name, "features")
        path, listed = pieces.file(), f"{name}.months.json" if product.detector is not None else None
        if listed is not None:
            folder.write_json(listed, counted.facts())
        folder.write_file(f"{name}.parquet", path)
        record = FeatureSet(
            dataset=dataset,
            file=f"{name}.parquet",
            sha256=sha256_of(path),
            train_rows=pieces.rows - held,
            holdout_rows=held,
            trained_until=until,
            months=listed,
        )
    assert head is not None
    return record, head


def _train_until(rows: Path, detector: Detector) -> str:
    counts: Counter[str] = Counter()
    for piece in read_column(rows, detector.time):
        names, found = np.unique(months.months_of(piece.to_frame(), detector.time).astype(str), return_counts=True)
        counts.update(dict(zip(names.tolist(), found.tolist(), strict=True)))
    return months.until(counts, detector.holdout_share)


def read(product: Product, record: FeatureSet, storage: Storage) -> pd.DataFrame:
    """The table of a features record. Raises FeatureSetError when the file isn't the one that was written."""
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        path = Path(temporary) / record.file
        fetch(product, record, storage, path)
        return next(read_pieces(path, None))


def read_to_learn(product: Product, record: FeatureSet, storage: Storage) -> pd.DataFrame:
    """The rows of the table that a model is fitted to and measured on: all, or as many as the product holds in memory.

    Any is then as likely as any other, and every stage gets the same. Raises FeatureSetError as `read` does.
    """
    most = product.source.rows_in_memory
    if most is None or record.rows <= most:
        return read(product, record, storage)
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        path = Path(temporary) / record.file
        fetch(product, record, storage, path)
        return read_sample(path, most, SAMPLE_SEED)


def fetch(product: Product, record: FeatureSet, storage: Storage, into: Path) -> None:
    """Copy the file of a features record to a local path. Raises FeatureSetError as `read` does."""
    folder = storage.at(product.name, "features")
    folder.read_file(record.file, into)
    if sha256_of(into) != record.sha256:
        raise FeatureSetError(f"{folder.locate(record.file)} isn't what the features stage wrote: its sha256 differs")


def own_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The cleaned rows of the table, without the added columns."""
    return table[[name for name in table.columns if "." not in str(name)]]


def side(table: pd.DataFrame, *, holdout: bool) -> pd.DataFrame:
    """The cleaned rows of one side of the split, without the added columns."""
    return own_columns(table)[table[HOLDOUT] == holdout].reset_index(drop=True)


def model_columns(table: pd.DataFrame, *, holdout: bool | None = None) -> pd.DataFrame:
    """The model columns of all rows, or of those of one side, in the full view."""
    rows = table if holdout is None else table[table[HOLDOUT] == holdout].reset_index(drop=True)
    return _view(rows, VIEWS[0])


def training_set(product: Product, table: pd.DataFrame) -> TrainingSet:
    """The training side as `search` and `fit_model` take it. Raises ValueError naming a target that can't be."""
    assert product.task != "anomaly"
    rows = table[~table[HOLDOUT]].reset_index(drop=True)
    target = rows[product.target.column].to_numpy()
    if product.task == "regression":
        target = target.astype(np.float64)
        scale = TargetScale(transform=product.target.transform)
        scale.forward(target)
    else:
        scale = TargetScale(classes=np.unique(target))
        if len(scale.classes) < 2:
            raise ValueError(f"the target {product.target.column} has fewer than two classes")
    return TrainingSet(
        views=tuple(_view(rows, name) for name in VIEWS if any(_of(rows, name))),
        target=target,
        keys=rows[KEY].to_numpy(),
        numeric=product.features.numeric,
        categorical=product.features.categorical,
        task=product.task,
        scale=scale,
    )


def _of(rows: pd.DataFrame, view: str) -> list[str]:
    return [c for c in rows.columns if str(c).startswith(f"{view}.")]


def _view(rows: pd.DataFrame, view: str) -> pd.DataFrame:
    return rows[_of(rows, view)].rename(columns=lambda name: str(name).removeprefix(f"{view}."))
