"""Made-up columns, samples and verdicts for the tests of what is drawn and written of a day."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from mlops_assets.drift.facts import ColumnDrift, Kind, Monitored, Role, Status, Summary, Verdict
from mlops_assets.drift.sample import Sample

DAY = date(2026, 3, 9)
MONITORED = (
    Monitored("area", "number"),
    Monitored("town", "category"),
    Monitored("garden", "number", optional=True),
    Monitored("estimate", "number", "prediction"),
    Monitored("error", "number", "error"),
)


def column(name: str, strength: float | None = 0.0, kind: Kind = "number", **changes: Any) -> ColumnDrift:
    """A column of a verdict; None is too little to tell."""
    status = Status.INSUFFICIENT if strength is None else Status.DRIFTED if strength >= 1 else Status.OK
    summary = Summary(500, 0.0, mean=1.0, quantiles={"0.25": 0.5, "0.5": 1.0, "0.75": 1.5})
    role: Role = "feature"
    given: dict[str, Any] = {
        "name": name, "kind": kind, "role": role, "status": status, "reference": summary, "current": summary,
        "distance": "wasserstein" if kind == "number" else "total_variation", "p_value": 0.5, "alpha": 0.002,
        "effect": 0.02, "floor": 0.1, "strength": strength or 0.0, "reasons": (f"About {name}.",),
    }  # fmt: skip
    return ColumnDrift(**given | changes)


def verdict(*columns: ColumnDrift, day: date = DAY, release: int = 3, status: Status | None = None) -> Verdict:
    """A day's verdict over these columns."""
    found = {one.status for one in columns}
    told = Status.DRIFTED if Status.DRIFTED in found else Status.OK
    return Verdict("homes", day, release, status or told, 400, 300, 5000, columns, ("Two things changed.",))


def sample(rows: int = 300, seed: int = 0, **changes: Any) -> Sample:
    """Rows of the monitored columns; `changes` replace whole columns."""
    random = np.random.default_rng(seed)
    data = {
        "area": random.normal(100, 20, rows),
        "town": random.choice(["Pune", "Delhi", "Goa"], rows).astype(object),
        "garden": np.where(random.random(rows) < 0.3, np.nan, random.integers(0, 5, rows)),
    }
    scored = {"estimate": random.lognormal(3, 0.3, rows), "error": random.random(rows) / 3}
    frame = pd.DataFrame(data | {name: given for name, given in changes.items() if name in data})
    answers = pd.DataFrame(scored | {name: given for name, given in changes.items() if name in scored})
    return Sample(frame, answers, rows)
