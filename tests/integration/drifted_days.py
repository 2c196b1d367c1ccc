"""Kept verdicts for tests: days of one product that drifted or did not, without comparing any data."""

from __future__ import annotations

from datetime import date

from mlops_assets.drift import store
from mlops_assets.drift.facts import ColumnDrift, ShareRise, Status, Summary, Verdict
from mlops_assets.storage.database import Database

SIDE = Summary(rows=400, missing=0.01, mean=1.5, std=0.5, quantiles={"0.5": 1.4}, top={"Überall\0": 0.25})


def column(name: str, status: Status, strength: float) -> ColumnDrift:
    rise = ShareRise("unseen", 0.0, 0.2, 0.05, 1e-9, risen=True, examples=("Nowhere", "naïve"))
    return ColumnDrift(
        name=name,
        kind="number",
        role="feature",
        status=status,
        reference=SIDE,
        current=SIDE,
        distance="wasserstein",
        p_value=1e-12,
        alpha=0.002,
        effect=0.1 * strength,
        floor=0.1,
        strength=strength,
        shares=(rise,),
        reasons=("it moved",),
    )


def verdict(
    day: date, status: Status = Status.DRIFTED, *, product: str = "house_prices", release: int = 1,
    strength: float = 1.5, columns: tuple[str, ...] = ("size",),
) -> Verdict:  # fmt: skip
    """A verdict whose `columns` drifted, each a little less than the one before."""
    drifted = columns if status is Status.DRIFTED else ()
    found = [column(name, Status.DRIFTED, strength - 0.01 * n) for n, name in enumerate(drifted)]
    quiet = column("quiet", Status.OK, 0.0)
    return Verdict(product, day, release, status, 1000, 400, 5000, (quiet, *reversed(found)), ("said so",))


def judge_day(database: Database, day: date, status: Status = Status.DRIFTED, **how: object) -> None:
    """Keep the verdict of a day."""
    store.save(database, verdict(day, status, **how))  # type: ignore[arg-type]
