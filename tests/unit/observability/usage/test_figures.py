"""Costs at an installation's prices, and periods that can be looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from mlops_assets.observability.usage.figures import AttemptUsage, Prices
from mlops_assets.observability.usage.queries import Period, PeriodError

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PRICES = Prices(cpu_hour=0.04, gb_hour=0.005, currency="EUR")


def attempt(**values: object) -> AttemptUsage:
    """An attempt of half an hour with two cores and 4 GB."""
    figures = {"wall_seconds": 1800.0, "cpu_seconds": 3600.0, "peak_memory_bytes": 4_000_000_000}
    rest = {"ended_at": NOW, "read_bytes": None, "written_bytes": None, "outcome": "SUCCESS", "started_at": NOW}
    names = {"run_id": "r", "kind": "product", "product": "p", "stage": "s", "job": "j", "attempt": 1}
    return AttemptUsage(**{**figures, **rest, **names, **values})  # type: ignore[arg-type]


def test_an_attempt_costs_its_cpu_and_its_peak_memory_for_all_its_time() -> None:
    assert attempt().cost(PRICES) == pytest.approx(0.04 + 4 * 0.5 * 0.005)
    assert attempt().cost(Prices(0, 0, "EUR")) == 0


@pytest.mark.parametrize("name", ["wall_seconds", "cpu_seconds", "peak_memory_bytes"])
def test_what_nobody_knows_has_no_cost(name: str) -> None:
    assert attempt(**{name: None}).cost(PRICES) is None


def test_a_period_without_limits_is_the_last_seven_days() -> None:
    period = Period.of(None, None)
    assert period.until - period.since == timedelta(days=7)
    assert abs(datetime.now(UTC) - period.until) < timedelta(minutes=1)


def test_a_period_is_in_utc_whatever_offset_it_was_asked_with() -> None:
    period = Period.of(datetime(2026, 3, 10, 1, tzinfo=timezone(timedelta(hours=2))), NOW)
    assert period.since == datetime(2026, 3, 9, 23, tzinfo=UTC)
    assert period.since.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("since", "words"),
    [(NOW, "before until"), (NOW + timedelta(1), "before until"), (NOW - timedelta(401), "at most 400 days")],
)
def test_a_period_that_cannot_be_looked_at_names_the_field(since: datetime, words: str) -> None:
    with pytest.raises(PeriodError, match=f"since: .*{words}"):
        Period.of(since, NOW)
