"""A small anomaly product and rows of a known law: most alike, a few odd, over some months."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.training.spec import Product

MONTHS = 10
TOLD_TOGETHER = (("hour", "night"),)
WORDING = {"labels": {"size": "size"}, "records": "parcels"}


def product(**changes: Any) -> Product:
    """Parcels: a size, a kind and an hour, divided in time."""
    declared: dict[str, Any] = {
        "name": "parcels",
        "title": "Parcels",
        "owner": "team:parcels",
        "functions": __name__,
        "task": "anomaly",
        "contract": {
            "raw_columns": ["sent_at", "size", "kind", "hour"],
            "columns": [
                {"name": "sent_at", "type": "time"},
                {"name": "size", "type": "number", "required": False},
                {"name": "kind", "type": "category"},
                {"name": "hour", "type": "number"},
            ],
        },
        "features": {"numeric": ["size", "hour", "night"], "categorical": ["kind"]},
        "detector": {"time": "sent_at", "trees": 60, "twins": 1, "month_rows": 50, "groups": {"kind": "kind"}},
        "gates": [{"metric": "anomaly_rate", "maximum": 0.2}],
    }
    return Product.model_validate(declared | changes)


def rows(count: int = 2_000, seed: int = 0, odd: float = 0.01) -> pd.DataFrame:
    """Cleaned rows; odd ones are large, of a rare kind and at night."""
    draw = np.random.default_rng(seed)
    strange = draw.random(count) < odd
    month = np.sort(draw.integers(0, MONTHS, count))
    start = np.datetime64("2024-01", "M") + month
    hour = np.where(strange, 3, draw.integers(8, 18, count)).astype(float)
    at = start.astype("datetime64[ns]") + (draw.integers(0, 28, count) * 24 + hour.astype(int)) * np.timedelta64(1, "h")
    return pd.DataFrame(
        {
            "sent_at": at,
            "size": np.where(strange, draw.normal(90, 5, count), draw.normal(10, 2, count)),
            "kind": np.where(strange, "PIANO", draw.choice(["BOX", "LETTER"], count)).astype(object),
            "hour": hour,
        }
    )


def features(record: Mapping[str, Any]) -> dict[str, float | str]:
    """Model columns of one parcel."""
    size = record["size"]
    return {
        "size": math.nan if size is None else float(size),
        "hour": float(record["hour"]),
        "night": float(record["hour"] < 6),
        "kind": record["kind"],
    }


def severe(rows: pd.DataFrame) -> np.ndarray:
    """Pianos are known to be trouble."""
    return (rows["kind"] == "PIANO").to_numpy()
