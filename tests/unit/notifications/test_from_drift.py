"""What people read of a drifted day."""

from __future__ import annotations

from datetime import date

from mlops_assets.drift.facts import ColumnDrift, Status, Summary, Verdict
from mlops_assets.notifications.from_drift import notice
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind, Severity
from tests.unit.notifications.made_notice import AT

DAY = date(2026, 3, 1)


def column(name: str, status: Status, strength: float) -> ColumnDrift:
    side = Summary(rows=500, missing=0.0)
    return ColumnDrift(
        name=name,
        kind="number",
        role="feature",
        status=status,
        reference=side,
        current=side,
        distance="wasserstein",
        p_value=0.0001,
        alpha=0.002,
        effect=0.3,
        floor=0.1,
        strength=strength,
        reasons=(f"{name}: mean 3 → 4", "second", "third"),
    )


def verdict(count: int) -> Verdict:
    drifted = [column(f"c{n}", Status.DRIFTED, 1 + n) for n in range(count)]
    same = column("same", Status.OK, 0)
    return Verdict("homes", DAY, 4, Status.DRIFTED, 20_000, 812, 5000, (same, *drifted))


def test_a_drifted_day_in_words() -> None:
    told = notice("homes", DAY, 4, verdict(2).to_json(), AT, Links("http://api", "http://d"))
    assert (told.kind, told.severity) == (Kind.DRIFT, Severity.WARNING)
    assert told.title == "[homes] 2026-03-01: c1, c0 drifted"
    assert told.link == "http://api/drift/homes/2026-03-01"
    assert "in 2 of 3 columns" in told.body
    assert "812 of 5,000 rows" in told.body
    assert "c1: c1: mean 3 → 4; second" in told.body
    assert "third" not in told.body
    assert "same" not in told.body


def test_many_columns_are_counted_and_days_of_a_product_are_one_group() -> None:
    told = notice("homes", DAY, 4, verdict(12).to_json(), AT, Links("http://api", "http://d"))
    assert told.title == "[homes] 2026-03-01: c11, c10, c9 and 9 more drifted"
    assert "… and 4 more columns" in told.body
    other = notice("homes", date(2026, 3, 2), 4, verdict(1).to_json(), AT, Links("http://api", "http://d"))
    assert (told.group == other.group, told.key == other.key) == (True, False)
