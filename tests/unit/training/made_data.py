"""Small made-up products with a known law, for the training tests: no file, no randomness but a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.training.spec import Product


def features(record: Mapping[str, Any]) -> dict[str, float | str]:
    extra = record.get("extra")
    return {
        "log_size": math.log(record["size"]),
        "extra": math.nan if extra is None else float(extra),
        "place": str(record["place"]).casefold(),
        "kind": str(record.get("kind") or ""),
    }


def rows(count: int = 600, seed: int = 0) -> pd.DataFrame:
    """value = size × place × (1.4 with kind b) × (1 + extra / 10) × noise; extra has gaps."""
    random = np.random.default_rng(seed)
    place = random.integers(0, 40, count)
    kind = random.integers(0, 2, count)
    extra = random.integers(0, 4, count).astype(float)
    size = random.uniform(50, 500, count).round(1)
    level = np.exp(np.random.default_rng(1).normal(0, 0.4, 40))
    value = size * level[place] * np.where(kind == 1, 1.4, 1.0) * (1 + extra / 10)
    value *= np.exp(random.normal(0, 0.1, count))
    extra[random.random(count) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "size": size,
            "place": [f"Place {number}" for number in place],
            "kind": np.where(kind == 1, "b", "a"),
            "extra": extra,
            "value": value,
            "grade": np.where(value > 400, "dear", np.where(value > 200, "fair", "cheap")),
        }
    )


def product(target: str = "value", **changes: Any) -> Product:
    """A declaration over these rows; `changes` replace top-level parts."""
    regression = target == "value"
    declared: dict[str, Any] = {
        "name": "made",
        "title": "Made up",
        "functions": "tests.unit.training.made_data",
        "owner": "team:tests",
        "task": "regression" if regression else "classification",
        "contract": {"raw_columns": ["size"], "columns": []},
        "target": {"column": target, "unit": "coins", "transform": "log" if regression else "none"},
        "features": {
            "numeric": ["log_size", "extra"],
            "categorical": ["kind", "place"],
            "optional": ["extra", "kind"],
        },
        "search": search(score="median_ape" if regression else "accuracy"),
        "gates": [],
        "serving": {
            "route": "value",
            "slot": 0,
            "vocabularies": [{"route": "places", "column": "place", "key": "places"}],
        },
    }
    return Product.model_validate({**declared, **changes})


def search(*candidates: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A search section in this process, over one linear family unless candidates are given."""
    return {"candidates": list(candidates) or [{"family": "ridge"}], "folds": 2, "workers": 1, **changes}


def sample(target: str = "value", count: int = 600, seed: int = 0) -> pd.DataFrame:
    """`rows` with one of the two targets only."""
    return rows(count, seed).drop(columns=["grade" if target == "value" else "value"])
