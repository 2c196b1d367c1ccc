"""The features stage as a table: cleaned rows, their side of the split, and their model columns in every view.

Written once per run as Parquet, so that the model stage trains on exactly what a person can look at. Keep out
how columns come about (`columns`) and how rows are divided (`split` by content, `months` in time).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.storage.files import Storage, sha256_of
from mlops_assets.training import months
from mlops_assets.training.columns import FeatureFunction, views
from mlops_assets.training.records import DataVersion, FeatureSet
from mlops_assets.training.spec import Product
from mlops_assets.training.split import in_holdout, row_keys
from mlops_assets.training.target import TargetScale
from mlops_assets.training.trials import TrainingSet

if TYPE_CHECKING:
    import pandas as pd

KEY, HOLDOUT = "split.key", "split.holdout"
VIEWS = ("full", "required_only")


class FeatureSetError(RuntimeError):
    """A kept feature table isn't what the features stage wrote."""


def build(
    product: Product, features: FeatureFunction, rows: pd.DataFrame, holdout: np.ndarray | None = None
) -> pd.DataFrame:
    """Cleaned rows plus `split.holdout`, `split.key` where folds need one, and `<view>.<model column>` for each view.

    `holdout` overrides the product's own split with a mask (benchmarks). Raises ValueError naming what is wrong with
    the target, the features or the split.
    """
    import pandas as pd

    divided = _in_time(product, rows) if product.detector is not None else _by_content(product, rows)
    if holdout is not None:
        divided[HOLDOUT] = holdout
    if divided[HOLDOUT].all() or not divided[HOLDOUT].any():
        raise ValueError(f"the hold-out leaves a side of {len(rows)} rows empty")
    parts = [rows.reset_index(drop=True), divided]
    for name, view in zip(VIEWS, views(features, rows, product.features), strict=False):
        parts.append(view.add_prefix(f"{name}."))
    return pd.concat(parts, axis=1)


def _by_content(product: Product, rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    target = product.target.column
    if target not in rows.columns:
        raise ValueError(f"the rows lack the target column {target}")
    keys = row_keys(rows, target=target, seed=product.search.seed)
    return pd.DataFrame({KEY: keys, HOLDOUT: in_holdout(keys, product.search.holdout_share)})


def _in_time(product: Product, rows: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    assert product.detector is not None
    month = months.months_of(rows, product.detector.time)
    return pd.DataFrame({HOLDOUT: month > months.train_until(month, product.detector.holdout_share)})


def write(product: Product, dataset: DataVersion, table: pd.DataFrame, storage: Storage, name: str) -> FeatureSet:
    """Keep the table of `build` as `<product>/features/<name>.parquet`, with its months where it is divided in time."""
    folder = storage.at(product.name, "features")
    until, listed = None, None
    if product.detector is not None:
        month = months.months_of(table, product.detector.time)
        until = str(month[~table[HOLDOUT].to_numpy()].max())
        listed = f"{name}.months.json"
        folder.write_json(listed, months.fingerprints(own_columns(table), month))
    held = int(table[HOLDOUT].sum())
    return FeatureSet(
        dataset=dataset,
        file=f"{name}.parquet",
        sha256=folder.write_parquet(f"{name}.parquet", table),
        train_rows=len(table) - held,
        holdout_rows=held,
        trained_until=until,
        months=listed,
    )


def read(product: Product, record: FeatureSet, storage: Storage) -> pd.DataFrame:
    """The table of a features record. Raises FeatureSetError when the file isn't the one that was written."""
    import pandas as pd

    folder = storage.at(product.name, "features")
    content = folder.read_bytes(record.file)
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise _another_file(folder, record)
    return pd.read_parquet(io.BytesIO(content))


def fetch(product: Product, record: FeatureSet, storage: Storage, into: Path) -> None:
    """Copy the file of a features record to a local path. Raises FeatureSetError as `read` does."""
    folder = storage.at(product.name, "features")
    folder.read_file(record.file, into)
    if sha256_of(into) != record.sha256:
        raise _another_file(folder, record)


def _another_file(folder: Storage, record: FeatureSet) -> FeatureSetError:
    return FeatureSetError(f"{folder.locate(record.file)} isn't what the features stage wrote: its sha256 differs")


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
