"""Days and references for the benchmark of drift: made ones whose truth is known, and the real files.

Add a column here when the verdict should be tried on one more kind. Keep out what is measured (`drift`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.drift.facts import Kind, Monitored
from mlops_assets.drift.sample import Sample

Rng = np.random.Generator
Columns = dict[str, Any]
OUTLIER = 1e4

_ROOMS = np.array([0.05, 0.42, 0.35, 0.12, 0.04, 0.02])
_SIX = np.array([0.35, 0.25, 0.15, 0.12, 0.08, 0.05])
_NAMES = np.array([f"place {n}" for n in range(5000)], dtype=object)


def mixed(rng: Rng, rows: int) -> Columns:
    """Five columns: two continuous, one discrete like bedrooms, six categories, 200 categories."""
    return {
        "normal": rng.normal(size=rows),
        "lognormal": rng.lognormal(size=rows),
        "rooms": rng.choice(np.arange(1.0, 7.0), size=rows, p=_ROOMS),
        "six": rng.choice(_NAMES[:6], size=rows, p=_SIX),
        "many": rng.choice(_NAMES[:200], size=rows, p=_falling(200, 0.8)),
    }


def continuous(rng: Rng, rows: int) -> Columns:
    """Five independent continuous columns: nothing makes the tests conservative."""
    return {f"normal {n}": rng.normal(size=rows) for n in range(5)}


def ragged(rng: Rng, rows: int) -> Columns:
    """Half the values missing, and categories of which many are seen once: what shares of their own could cry at."""
    gaps = rng.normal(size=rows)
    gaps[rng.random(rows) < 0.4] = np.nan
    sparse = rng.choice(_NAMES[:6], size=rows, p=_SIX)
    sparse[rng.random(rows) < 0.5] = None
    return {
        "gaps": gaps,
        "sparse": sparse,
        "long": rng.choice(_NAMES, size=rows, p=_falling(5000, 1.0)),
        "many": rng.choice(_NAMES[:200], size=rows, p=_falling(200, 0.8)),
        "flat": rng.choice(_NAMES[:2000], size=rows),
    }


WORLDS: dict[str, Callable[[Rng, int], Columns]] = {"mixed": mixed, "continuous": continuous, "ragged": ragged}


def shifted(columns: Columns, column: str, by: float) -> Columns:
    """A number moved by `by`; a category of which the commonest level but one grows by the share `by`."""
    values = columns[column]
    if values.dtype == np.float64:
        return columns | {column: values + by}
    level = _NAMES[1]
    others = values != level
    grown = by / others.mean()
    return columns | {column: np.where(others & (_steady(len(values)) < grown), level, values)}


def with_outlier(columns: Columns, column: str) -> Columns:
    """One value replaced by 10,000."""
    values = columns[column].copy()
    values[0] = OUTLIER
    return columns | {column: values}


def sample(columns: Columns) -> Sample:
    """A side of features only."""
    frame = pd.DataFrame(columns)
    return Sample(frame, pd.DataFrame(index=frame.index), len(frame))


def monitored(columns: Columns) -> tuple[Monitored, ...]:
    """The columns by their types."""
    return tuple(Monitored(name, _kind(values)) for name, values in columns.items())


def comparisons(folder: Path, most: int) -> list[tuple[str, Sample, Sample, tuple[Monitored, ...]]]:
    """Title, reference, current and columns of each comparison of the real files; at most `most` rows a side."""
    crashes = pd.read_csv(folder / "traffic_accidents.csv.gz").replace("UNKNOWN", None)
    years = crashes["crash_date"].str.slice(6, 10).astype(int)
    seen = crashes.drop(columns=["crash_date", "crash_type"])
    seen["month"] = seen.pop("crash_month").astype(str)
    found = [
        (f"crashes of {year} against {year - 1}", *_sides(seen[years == year - 1], seen[years == year], most))
        for year in (2018, 2020, 2024)
    ]
    listings = _listings(folder)
    areas = listings.pop("area_type")
    plots, flats = listings[areas == "Plot Area"], listings[areas == "Super built-up Area"]
    found.append(("listings of plots against super built-up", *_sides(flats, plots, most)))
    half = np.random.default_rng(0).random(len(listings)) < 0.5
    found.append(("one random half of the listings against the other", *_sides(listings[half], listings[~half], most)))
    return found


def _listings(folder: Path) -> pd.DataFrame:
    from mlops_assets.products import house_prices

    rows = house_prices.clean(pd.read_csv(folder / "bengaluru_house_prices.csv", dtype=str)).rows
    return pd.DataFrame(rows)


def _sides(before: pd.DataFrame, now: pd.DataFrame, most: int) -> tuple[Sample, Sample, tuple[Monitored, ...]]:
    sides = [side.sample(min(most, len(side)), random_state=7).reset_index(drop=True) for side in (before, now)]
    columns = tuple(Monitored(str(name), _kind(before[name])) for name in before.columns)
    first, second = (Sample(side, pd.DataFrame(index=side.index), len(side)) for side in sides)
    return first, second, columns


def _kind(values: Any) -> Kind:
    return "number" if values.dtype.kind in "iuf" else "category"


def _falling(levels: int, power: float) -> Any:
    shares = np.arange(1, levels + 1) ** -power
    return shares / shares.sum()


def _steady(rows: int) -> Any:
    """Numbers in 0-1 that depend on the row alone, evenly spread."""
    return (np.arange(rows) * 0.6180339887498949) % 1
