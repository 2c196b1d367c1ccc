"""Months of records scored by the production release: as many as fit in memory in one pass, kept month by month.

Files come first and rows after them: a kill in between leaves files that the next run writes again. Files of earlier
releases stay. Add a step here. Keep out what scores (`scorer`), figures (`figures`), files (`files`), rows (`store`)
and Dagster (`assets`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_assets.batch import files, store
from mlops_assets.batch.figures import Counts
from mlops_assets.batch.groups import groups
from mlops_assets.batch.months import EMPTY, day_of
from mlops_assets.batch.policy import BatchPolicy
from mlops_assets.batch.scorer import Scorer, ScoringError, production
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training import feature_set
from mlops_assets.training.columns import records
from mlops_assets.training.records import FeatureSet
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import pandas as pd

MOST_REASONS = 3
# Months whose rows are kept in one transaction, and files written at once.
TOGETHER, WRITERS = 24, 2
Heard = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class Scored:
    """Records with their model columns and their scores [n], in the order of the features.

    `order` [n] sorts them by month, and `places` gives the part of `order` of each month that was asked for, an empty
    one too.
    """

    rows: pd.DataFrame
    columns: pd.DataFrame
    score: np.ndarray
    order: np.ndarray
    places: dict[str, slice]


def month_facts(product: Product, features: FeatureSet, storage: Storage) -> dict[str, Mapping[str, Any]]:
    """Rows and hash of each month that has records, by its name such as "2023-07"."""
    if features.months is None:
        raise ScoringError(f"the features of {product.name} don't tell their months: materialize them again")
    found: dict[str, Mapping[str, Any]] = storage.at(product.name, "features").read_json(features.months)
    return found


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
    chosen = np.isin(month, wanted)
    if not chosen.all():
        rows, columns, month = rows[chosen], columns[chosen], month[chosen]
    # Sorted only after they are scored: texts that lie in memory as they were read are found much faster.
    order = np.argsort(month, kind="stable")
    starts, ends = (np.searchsorted(month[order], wanted, side=side) for side in ("left", "right"))
    return Scored(
        rows=rows,
        columns=columns,
        score=scorer.model.score(columns) if len(columns) else np.zeros(0),
        order=order,
        places={name: slice(int(a), int(b)) for name, a, b in zip(names, starts, ends, strict=True)},
    )


def lowest(product: Product, scored: Scored, scorer: Scorer, most: int) -> dict[str, tuple[store.Lowest, ...]]:
    """Each month's lowest scores with their reasons, which are asked for all at once."""
    import pandas as pd

    chosen = {}
    for month, part in scored.places.items():
        rows_of_month = scored.order[part]
        chosen[month] = rows_of_month[np.argsort(scored.score[rows_of_month], kind="stable")[:most]]
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
    heard(f"{len(months)} months by release {scorer.release}, trained until {scorer.trained_until}")
    for group in groups(product, features, storage, facts, months, policy.rows_in_memory):
        columns = model_columns(product, scorer, group.table)
        scored = score(product, scorer, feature_set.own_columns(group.table), columns, group.months)
        counts = counted(product, scored)
        odd = lowest(product, scored, scorer, policy.top)
        heard(f"{len(scored.score):,} records scored, {int((scored.score < 0).sum()):,} are anomalies; keeping them")
        for written in _in_chunks(_written(product, scorer, scored, storage)):
            kept = [
                store.Month(
                    product=product.name,
                    mode=store.PRODUCTION,
                    month=day_of(month),
                    release=scorer.release,
                    data_version=features.dataset.version,
                    rows_sha256=_hash_of(month, facts, scored.places[month]),
                    in_training=scorer.saw(month),
                    figures=counts.figures(scored.places[month]),
                    file=file,
                    file_sha256=sha256,
                    lowest=odd[month],
                    run_id=run_id,
                )
                for month, (file, sha256) in written
            ]
            store.save(database, kept)
            yield from kept


def _written(product: Product, scorer: Scorer, scored: Scored, storage: Storage) -> Iterator[tuple[str, files.Written]]:
    """Each month's file as it is written, oldest first; others are written meanwhile."""
    whole = files.table_of(scored.rows, scored.score).take(scored.order)

    def write(month: str) -> files.Written:
        part = scored.places[month]
        records = whole.slice(part.start, part.stop - part.start)
        return files.write(storage, product.name, (store.PRODUCTION, month), scorer.name, records)

    pool = ThreadPoolExecutor(WRITERS, "scores")
    try:
        yield from zip(scored.places, pool.map(write, scored.places), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_chunks(written: Iterator[tuple[str, files.Written]]) -> Iterator[list[tuple[str, files.Written]]]:
    while chunk := list(islice(written, TOGETHER)):
        yield chunk


def _hash_of(month: str, facts: Mapping[str, Mapping[str, Any]], part: slice) -> str:
    known = facts.get(month, {"rows": 0, "sha256": EMPTY})
    if known["rows"] != part.stop - part.start:
        raise ScoringError(
            f"{month} has {part.stop - part.start:,} records, and the features' facts tell of {known['rows']:,}: "
            "materialize the features again"
        )
    return str(known["sha256"])


def counted(product: Product, scored: Scored) -> Counts:
    """The records, ready to be counted by month."""
    return Counts.of(scored.rows, time_of(product), groups_of(product), scored.score, scored.order)


def time_of(product: Product) -> str:
    """The column that says when a record was."""
    assert product.detector is not None
    return product.detector.time


def groups_of(product: Product) -> Mapping[str, str]:
    """The columns that records are counted by, and what charts call them."""
    assert product.detector is not None
    return product.detector.groups


def _as_json(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as JSON takes it: times as ISO 8601, whole numbers without a fraction."""
    plain: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, datetime):
            plain[name] = value.isoformat()
        else:
            plain[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return plain
