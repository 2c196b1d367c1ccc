"""Made-up days of drift: verdicts with known figures, kept as the platform keeps them.

Add here what tests of more than one part need of a stored day. Keep out assertions, and the judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from mlops_assets.drift import store
from mlops_assets.drift.facts import ColumnDrift, Role, ShareRise, Status, Summary, Verdict
from mlops_assets.storage.database import Database

PRODUCT = "house_prices"
LAST = date(2026, 3, 30)
SHARE_LIMITS = {"missing": 0.05, "unseen": 0.05, "out_of_range": 0.02}
PLACES = {"Whitefield": 0.31, "Sarjapur Road": 0.24, "Hebbal": 0.2, "Yelahanka": 0.15, "Devanahalli": 0.1}


def spread(median: float, scale: float, rows: int, missing: float = 0.0) -> Summary:
    """One side of a column of numbers."""
    quantiles = {"0.05": -1.4, "0.25": -0.6, "0.5": 0.0, "0.75": 0.7, "0.95": 2.1}
    return Summary(
        rows=rows, missing=missing, mean=round(median + 0.2 * scale, 4), std=scale, minimum=median - 2 * scale,
        maximum=median + 5 * scale, quantiles={name: round(median + scale * z, 4) for name, z in quantiles.items()},
    )  # fmt: skip


def number(
    name: str, median: float, scale: float, *, effect: float = 0.03, rows: int = 900, role: Role = "feature",
    missing: float = 0.01, floor: float = 0.1,
) -> ColumnDrift:  # fmt: skip
    """A column of numbers whose values moved up by `effect` standard deviations; from `floor` on it drifted."""
    drifted = effect >= floor
    reference, current = spread(median, scale, 9400, 0.01), spread(median + effect * scale, scale, rows, missing)
    risen = missing - 0.01 >= SHARE_LIMITS["missing"]
    strength = max(effect / floor if drifted else 0.0, (missing - 0.01) / 0.05 if risen else 0.0)
    moved = f"moved by {effect:.2f} standard deviations, from {median:,.0f} to {median + effect * scale:,.0f} (median)"
    lost = f"missing in {missing:.0%} of the rows, {0.01:.0%} expected"
    said = tuple(words for words, so in ((moved, drifted), (lost, risen)) if so)
    return ColumnDrift(
        name=name, kind="number", role=role, status=Status.DRIFTED if drifted or risen else Status.OK,
        reference=reference, current=current, distance="wasserstein", p_value=1e-12 if drifted else 0.4, alpha=0.001,
        effect=effect, floor=floor, strength=round(strength, 3), reasons=said or ("no change of weight",),
        shares=(_share("missing", 0.01, missing), _share("out_of_range", 0.001, 0.004)),
    )  # fmt: skip


def category(
    name: str, *, effect: float = 0.02, top: Mapping[str, float] | None = None, rows: int = 900, unseen: float = 0.01,
    examples: Sequence[str] = (), missing: float = 0.0,
) -> ColumnDrift:  # fmt: skip
    """A column of words; `effect` of the values moved from the commonest value to the last one."""
    before = dict(top or PLACES)
    first, last = next(iter(before)), list(before)[-1]
    now = {**before, first: before[first] - effect, last: before[last] + effect}
    drifted, risen = effect >= 0.1, unseen - 0.01 >= 0.05
    strength = max(effect / 0.1 if drifted else 0.0, (unseen - 0.01) / 0.05 if risen else 0.0)
    moved = f"{last} rose from {before[last]:.0%} to {now[last]:.0%} of the rows"
    new = f"{unseen:.0%} of the values are new: {', '.join(examples)}"
    said = tuple(words for words, so in ((moved, drifted), (new, risen)) if so)
    return ColumnDrift(
        name=name, kind="category", role="feature", status=Status.DRIFTED if drifted or risen else Status.OK,
        reference=Summary(rows=9400, missing=0.0, top=before), current=Summary(rows=rows, missing=missing, top=now),
        distance="total_variation", p_value=1e-20 if drifted else 0.7, alpha=0.001, effect=effect, floor=0.1,
        strength=round(strength, 3), reasons=said or ("no change of weight",),
        shares=(_share("missing", 0.0, missing), _share("unseen", 0.01, unseen, examples)),
    )  # fmt: skip


def _share(name: Any, expected: float, seen: float, examples: Sequence[str] = ()) -> ShareRise:
    risen = seen - expected >= SHARE_LIMITS[name]
    return ShareRise(name, expected, seen, SHARE_LIMITS[name], 1e-8 if risen else 0.5, risen, tuple(examples))


def verdict(
    day: date, *columns: ColumnDrift, status: Status | None = None, rows: int = 900, release: int = 2,
    product: str = PRODUCT, reasons: Sequence[str] = (),
) -> Verdict:  # fmt: skip
    """A day made of columns; its status follows from theirs."""
    names = [column.name for column in columns if column.status is Status.DRIFTED]
    found = status or (Status.DRIFTED if names else Status.OK)
    said = f"{len(names)} of {len(columns)} columns drifted: {', '.join(names)}" if names else "no column drifted"
    return Verdict(
        product=product, day=day, release=release, status=found, reference_rows=9400, current_rows=rows,
        logged_rows=rows, columns=columns, reasons=tuple(reasons) or (said,),
    )  # fmt: skip


def keep(database: Database, *verdicts: Verdict, **more: Any) -> None:
    """Store days; `more` is what `store.save` takes besides."""
    for one in verdicts:
        store.save(database, one, **more)


def month(last: date = LAST, product: str = PRODUCT) -> list[Verdict]:
    """Thirty days of ten columns: calm, a wave of one place, a day of few rows, a day missing, then sizes that grow."""
    return [_of_month(last - timedelta(29 - n), n, product) for n in range(30) if n != 17]


def _of_month(day: date, n: int, product: str) -> Verdict:
    if n == 0:
        return verdict(
            day, status=Status.NO_REFERENCE, rows=640, release=1, product=product,
            reasons=("release 1 has no reference to compare with",),
        )  # fmt: skip
    if n in (9, 22):
        return verdict(
            day, status=Status.INSUFFICIENT, rows=84, product=product,
            reasons=("84 rows are too few: 200 are needed",),
        )  # fmt: skip
    rows = 700 + 31 * (n * 7 % 13)
    grown = 0.02 + max(0, n - 23) * 0.045
    wave = {11: 0.12, 12: 0.26, 13: 0.14}.get(n, 0.02 + 0.01 * (n % 3))
    return verdict(
        day,
        number("total_sqft", 1276, 560, effect=round(grown, 3), rows=rows),
        category("location", effect=wave, rows=rows, unseen=0.09 if n in (12, 13) else 0.012,
                 examples=("Sunrise Layout", "Airport City") if n in (12, 13) else ()),
        number("bhk", 2, 0.9, effect=round(0.6 * grown, 3), rows=rows),
        number("bath", 2, 0.9, effect=round(0.04 + 0.4 * max(0, grown - 0.02), 3), rows=rows),
        category("area_type", top={"Super built-up Area": 0.66, "Built-up Area": 0.18, "Plot Area": 0.15,
                                   "Carpet Area": 0.01}, effect=0.03, rows=rows),
        category("availability", top={"Ready To Move": 0.8, "18-Dec": 0.12, "19-Dec": 0.08}, rows=rows),
        number("balcony", 2, 0.8, effect=0.05, rows=rows, missing=0.31 if n in (6, 7) else 0.02),
        category("society", top={"GrrvaGr": 0.4, "PrarePa": 0.35, "Sryalan": 0.25}, effect=0.05, rows=rows,
                 missing=0.42),
        number("estimate", 72, 50, effect=round(0.9 * grown, 3), rows=rows, role="prediction"),
        number("error", 0.09, 0.1, effect=round(0.02 + 0.5 * max(0, grown - 0.1), 3), rows=rows // 12, role="error"),
        rows=rows,
        product=product,
    )  # fmt: skip
