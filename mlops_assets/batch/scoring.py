"""Months of records scored by the production release: all in one pass, then kept month by month.

Each month is a file and then a row: a kill in between leaves a file that the next run writes again. Files of earlier
releases stay. Add a step here. Keep out figures (`figures`), files (`files`), rows (`store`) and Dagster (`assets`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.batch import files, store
from mlops_assets.batch.figures import Counts
from mlops_assets.batch.months import EMPTY, day_of
from mlops_assets.batch.policy import BatchPolicy
from mlops_assets.explanations.explainer import REASONS_FILE, Explainer
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.storage.folders import fetch_folder
from mlops_assets.training import feature_set, isolation_graph
from mlops_assets.training.columns import records
from mlops_assets.training.isolation import IsolationModel
from mlops_assets.training.records import FeatureSet
from mlops_assets.training.released import MODEL_FILE, RELEASE_FILE, ReleaseError, read_release
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

MOST_REASONS = 3
Heard = Callable[[str], object]


class ScoringError(RuntimeError):
    """Nothing can be scored as things are; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Scorer:
    """A detector with what explains it; `release` is None for a forest that was never released.

    `trained_until` is the newest month that it was trained on, None if that is all of them.
    """

    name: str
    release: int | None
    trained_until: str | None
    model: IsolationModel
    explainer: Explainer

    def saw(self, month: str) -> bool:
        """Whether it was trained on this month."""
        return self.trained_until is None or month <= self.trained_until


@dataclass(frozen=True, eq=False)
class Scored:
    """Records in the order of their months with their scores [n] and their model columns.

    `places` gives the part of each month that was asked for, an empty one too.
    """

    rows: pd.DataFrame
    columns: pd.DataFrame
    score: np.ndarray
    places: dict[str, slice]


def production(product: Product, database: Database, storage: Storage) -> Scorer:
    """What is production now. Raises ScoringError when nothing is, or its files aren't whole."""
    version = Ledger(database).state(product.name).production
    if version is None:
        raise ScoringError(f"{product.name} has no production release yet: train one first")
    folder = storage.at(product.name, "releases", str(version))
    with tempfile.TemporaryDirectory(prefix="mlops-") as temporary:
        local = Path(temporary) / "release"
        try:
            fetch_folder(folder, local, manifest=RELEASE_FILE)
            manifest = read_release(local, shown=folder.url)
            if "trained_until" not in manifest:
                raise ReleaseError(f"{folder.locate(RELEASE_FILE)} doesn't tell until which month it was trained")
            return Scorer(
                name=f"release-{version}",
                release=version,
                trained_until=str(manifest["trained_until"]),
                model=isolation_graph.from_onnx((local / MODEL_FILE).read_bytes()),
                explainer=Explainer.model_validate_json((local / REASONS_FILE).read_bytes()),
            )
        except (StorageError, OSError, ValueError) as error:
            raise ScoringError(
                f"production's release {version} of {product.name} can't score: {error}; "
                "restore its files, or promote another release"
            ) from error


def month_facts(product: Product, features: FeatureSet, storage: Storage) -> dict[str, Mapping[str, Any]]:
    """Rows and hash of each month that has records, by its name such as "2023-07"."""
    if features.months is None:
        raise ScoringError(f"the features of {product.name} don't tell their months: materialize them again")
    found: dict[str, Mapping[str, Any]] = storage.at(product.name, "features").read_json(features.months)
    return found


def own_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The canonical rows of a table of features, without the columns that were added."""
    return table[[name for name in table.columns if "." not in str(name)]]


def model_columns(product: Product, scorer: Scorer, table: pd.DataFrame) -> pd.DataFrame:
    """The model columns of a table of features. Raises ScoringError naming those that the model needs and it lacks."""
    columns = feature_set.model_columns(table)
    encoder = scorer.model.encoder
    missing = [name for name in (*encoder.numeric, *encoder.categorical) if name not in columns]
    if missing:
        raise ScoringError(
            f"{scorer.name} of {product.name} needs columns that the features don't have: {', '.join(missing)}; "
            "materialize the features again, or train a release on them"
        )
    return columns


def score(
    product: Product, scorer: Scorer, rows: pd.DataFrame, columns: pd.DataFrame, months: Sequence[str] | None = None
) -> Scored:
    """Score the records of these months, or all, in one pass: `rows` and, beside them, their model columns."""
    month = rows[time_of(product)].to_numpy("datetime64[M]")
    names = tuple(np.unique(month).astype(str)) if months is None else tuple(sorted(set(months)))
    wanted = np.array(names, dtype="datetime64[M]")
    order = np.argsort(month, kind="stable")
    order = order[np.isin(month[order], wanted)]
    rows, columns = (frame.iloc[order].reset_index(drop=True) for frame in (rows, columns))
    starts, ends = (np.searchsorted(month[order], wanted, side=side) for side in ("left", "right"))
    return Scored(
        rows=rows,
        columns=columns,
        score=scorer.model.score(columns) if len(columns) else np.zeros(0),
        places={name: slice(int(a), int(b)) for name, a, b in zip(names, starts, ends, strict=True)},
    )


def lowest(product: Product, scored: Scored, scorer: Scorer, most: int) -> dict[str, tuple[store.Lowest, ...]]:
    """Each month's lowest scores with their reasons, which are asked for all at once."""
    import pandas as pd

    chosen = {
        month: part.start + np.argsort(scored.score[part], kind="stable")[:most]
        for month, part in scored.places.items()
    }
    places = np.concatenate([np.zeros(0, dtype=np.int64), *chosen.values()])
    told = scorer.explainer.explain(
        scored.columns.iloc[places], lambda rows: scorer.model.score(pd.DataFrame(rows)), most=MOST_REASONS
    )
    rows = scored.rows.iloc[places]
    made = [
        store.Lowest(at.to_pydatetime(warn=False), float(score), why.words, _as_json(record))
        for at, score, why, record in zip(
            rows[time_of(product)], scored.score[places], told, records(rows), strict=True
        )
    ]
    found, start = {}, 0
    for month, those in chosen.items():
        found[month] = tuple(made[start : start + len(those)])
        start += len(those)
    return found


def score_months(
    product: Product,
    policy: BatchPolicy,
    features: FeatureSet,
    months: Sequence[str],
    database: Database,
    storage: Storage,
    run_id: str | None,
    heard: Heard = lambda _: None,
) -> Iterator[store.Month]:
    """Score months by what is production now, and keep each; yields a month once it is kept.

    Raises ScoringError, FeatureSetError or StorageError.
    """
    scorer = production(product, database, storage)
    facts = month_facts(product, features, storage)
    table = feature_set.read(product, features, storage)
    heard(f"{len(months)} months by release {scorer.release}, trained until {scorer.trained_until}")
    scored = score(product, scorer, own_columns(table), model_columns(product, scorer, table), months)
    counts = counted(product, policy, scored)
    odd = lowest(product, scored, scorer, policy.top)
    whole = files.table_of(scored.rows, scored.score)
    heard(f"{len(scored.rows):,} records scored, {int((scored.score < 0).sum()):,} are anomalies; keeping them")
    for month, part in scored.places.items():
        rows = part.stop - part.start
        known = facts.get(month, {"rows": 0, "sha256": EMPTY})
        if known["rows"] != rows:
            raise ScoringError(
                f"{month} has {rows:,} records and its facts tell of {known['rows']:,}: they don't match"
            )
        written = files.write(
            storage, product.name, (store.PRODUCTION, month), scorer.name, whole.slice(part.start, rows)
        )
        kept = store.Month(
            product=product.name,
            mode=store.PRODUCTION,
            month=day_of(month),
            release=scorer.release,
            data_version=features.dataset.version,
            rows_sha256=str(known["sha256"]),
            in_training=scorer.saw(month),
            figures=counts.figures(part),
            file=written.file,
            file_sha256=written.sha256,
            lowest=odd[month],
            run_id=run_id,
        )
        store.save(database, kept)
        yield kept


def counted(product: Product, policy: BatchPolicy, scored: Scored) -> Counts:
    """The records, ready to be counted by month. Raises ScoringError naming groups that the records don't have."""
    missing = [name for name in policy.groups if name not in scored.rows.columns]
    if missing:
        raise ScoringError(f"groups: the records of {product.name} have no column {', '.join(missing)}")
    return Counts.of(scored.rows, time_of(product), policy.groups, scored.score)


def time_of(product: Product) -> str:
    """The column that says when a record was."""
    assert product.detector is not None
    return product.detector.time


def _as_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as JSON takes it: times as ISO 8601, whole numbers without a fraction."""
    plain: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, datetime):
            plain[name] = value.isoformat()
        else:
            plain[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return plain
