"""`mlops usage`: how far back, and what a terminal shows of a stranger's names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import typer
from rich.console import Console

from mlops_assets.api.usage.schemas import RunUsage, UsageChanges, UsageItem, UsagePage, UsageSums
from mlops_assets.cli.usage import moment_of, print_changes, print_run, print_sums
from mlops_assets.observability.usage.figures import Prices

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PRICES = Prices(cpu_hour=0.04, gb_hour=0.005, currency="USD")
SUMS = {
    **{"runs": 2, "attempts": 3, "failed": 1, "retried": 0, "canceled": 0, "lost": 0, "running": 0},
    **{"wall_seconds": 90.0, "cpu_seconds": 60.0, "peak_memory_bytes": 512_000_000, "gb_hours": 0.5},
    **{"read_bytes": 0, "written_bytes": 10, "last_started_at": NOW, "cost": 0.0125},
}


def printed() -> Console:
    """A terminal of 120 columns that remembers."""
    return Console(record=True, width=120, force_terminal=False)


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("4w", timedelta(weeks=4)),
        ("2026-03-01", timedelta(days=9, hours=12)),
    ],
)
def test_how_far_back(text: str, back: timedelta) -> None:
    assert moment_of(text, NOW) == NOW - back


@pytest.mark.parametrize(
    "text", ["", "7", "d", "0d", "-1d", "7y", "1.5d", "2026-02-30", "yesterday", "9999999d", "999999d"]
)
def test_what_is_no_time_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        moment_of(text, NOW)
    assert caught.value.param_hint == "--since"


def page(*items: UsageItem, total: int, next_offset: int | None) -> UsagePage:
    """Sums by stage."""
    return UsagePage(
        since=NOW - timedelta(7),
        until=NOW,
        by="stage",
        prices=PRICES,
        all=UsageSums.model_validate(SUMS),
        items=list(items),
        total=total,
        next_offset=next_offset,
    )


def test_sums_are_a_line_each_with_what_all_of_it_costs() -> None:
    item = UsageItem.model_validate(
        {**SUMS, "kind": "product", "product": "homes", "stage": "\x1b[2Jmodel", "job": None}
    )
    console = printed()
    print_sums(console, page(item, total=7, next_offset=1))
    text = console.export_text()
    assert "homes" in text
    assert "\x1b" not in text
    assert "1.5 min" in text
    assert "512 MB" in text
    assert "the 1 dearest of 7: 0.0125 USD for 1 min of CPU and 0.50 GB hours in all" in text


def test_nothing_to_tell_is_said() -> None:
    console = printed()
    print_sums(console, page(total=0, next_offset=None))
    print_changes(console, UsageChanges(since=NOW, middle=NOW, until=NOW, stages=4, too_few=3, changes=[]))
    empty = RunUsage(
        run_id="r",
        job=None,
        prices=PRICES,
        wall_seconds=0,
        cpu_seconds=0,
        peak_memory_bytes=0,
        read_bytes=0,
        written_bytes=0,
        cost=0,
        attempts=[],
        run_url="http://x",
    )
    print_run(console, empty)
    text = console.export_text()
    assert "no stage has begun since 2026-03-03 12:00 UTC" in text
    assert "nothing got clearly slower" in text
    assert "4 stages compared; 3 have too few successful attempts to tell" in text
    assert "no stage of this run was measured" in text
