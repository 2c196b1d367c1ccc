"""Evidently's part of a report: its charts of the columns that both sides have values of.

The method is pinned for each column and the words "drift detected" follow the verdict: Evidently's own tests cry
wolf. Add here what else Evidently should draw. Keep out the verdict (`judge`) and the page round it (`report`).
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_assets.drift import shown
from mlops_assets.drift.facts import Monitored, Verdict
from mlops_assets.drift.sample import Sample
from mlops_assets.drift.two_key import central_range
from mlops_assets.drift.values import LARGEST

if TYPE_CHECKING:
    import pandas as pd

# Distances, and quick ones: "TVD" gives a p-value of 1,000 permutations, which takes minutes for 20,000 rows.
METHODS = {"number": "wasserstein", "category": "jensenshannon"}
ALWAYS, NEVER = 0.0, 1e9
MOST_CATEGORIES = 30
MOST_CHARACTERS = 40
OTHERS = "(others)"


def drawn(verdict: Verdict, reference: Sample, current: Sample, monitored: Sequence[Monitored]) -> Any | None:
    """Evidently's snapshot; None when no column has values on both sides."""
    import pandas as pd

    before: dict[str, pd.Series] = {}
    now: dict[str, pd.Series] = {}
    columns = []
    places = {column.name: place for place, column in enumerate(shown.ordered(verdict.columns))}
    for column in sorted(monitored, key=lambda one: places.get(one.name, len(places))):
        sides = [_present(sample, column) for sample in (reference, current)]
        if not all(map(len, sides)):
            continue
        columns.append(column)
        before[column.name], now[column.name] = (_clipped if column.kind == "number" else _gathered)(*sides)
    if not columns:
        return None
    return _run(pd.DataFrame(before), pd.DataFrame(now), columns, set(verdict.drifted))


def page(snapshot: Any) -> str:
    """Evidently's page: one file that loads nothing from elsewhere."""
    return str(snapshot.get_html_str(as_iframe=False))


def _run(before: pd.DataFrame, now: pd.DataFrame, columns: Sequence[Monitored], drifted: set[str]) -> Any:
    with warnings.catch_warnings():
        # It and what it imports warn about their own code.
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

        definition = DataDefinition(
            numerical_columns=[column.name for column in columns if column.kind == "number"],
            categorical_columns=[column.name for column in columns if column.kind == "category"],
        )
        metrics = [
            ValueDrift(
                column=column.name,
                method=METHODS[column.kind],
                threshold=ALWAYS if column.name in drifted else NEVER,
            )
            for column in columns
        ]
        sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in (now, before)]
        return Report(metrics, include_tests=False).run(*sides)


def _present(sample: Sample, column: Monitored) -> pd.Series:
    """The values that are there, in the sample's order, which is that of time: one chart runs over it."""
    import numpy as np
    import pandas as pd

    frame = sample.rows if column.role == "feature" else sample.scored
    values = frame[column.name].dropna() if column.name in frame.columns else pd.Series(dtype="float64")
    if column.kind == "number":
        numbers = pd.to_numeric(values, errors="coerce").astype("float64")
        return numbers[np.abs(numbers) <= LARGEST].reset_index(drop=True)
    texts = values.astype(str).str.strip()
    return texts[texts != ""].reset_index(drop=True)


def _clipped(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Clipped as for the verdict, so that one outlier doesn't make the chart a single bar."""
    low, high = central_range(reference.sort_values().to_numpy())
    return (reference.clip(low, high), current.clip(low, high)) if low < high else (reference, current)


def _gathered(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Rare categories in one bar, and all as plain text: what users typed must not become a part of the page."""
    shares = [side.value_counts(normalize=True) for side in (reference, current)]
    largest = shares[0].combine(shares[1], max, fill_value=0)
    names = sorted(largest.index, key=lambda name: (-largest[name], name))
    if len(names) > MOST_CATEGORIES:
        names = names[: MOST_CATEGORIES - 1]
    plain = {name: html.escape(_short(name), quote=False) for name in names}
    sides = [side.map(plain).fillna(OTHERS) for side in (reference, current)]
    return sides[0], sides[1]


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
