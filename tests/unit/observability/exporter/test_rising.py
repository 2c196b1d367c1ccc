"""Counters that never fall: rows that are removed, restarts, broken files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.observability.exporter.families import Sheet, Spread, Value
from mlops_assets.observability.exporter.metrics import GROUPS
from mlops_assets.observability.exporter.rising import Rising

COUNTER, GAUGE, HISTOGRAM = "mlops_runs_finished_total", "mlops_runs", "mlops_run_wait_seconds"


def told(rising: Rising, name: str, value: float | Spread) -> Value:
    """What is told of a value that was read."""
    sheet = Sheet(GROUPS["runs"])
    if isinstance(value, Spread):
        sheet.spread(name, value, kind="product")
    elif name == GAUGE:
        sheet.put(name, value, kind="product", status="QUEUED")
    else:
        sheet.put(name, value, job="train", outcome="SUCCESS")
    rising.lift(sheet)
    [found] = sheet.values[name].values()
    return found


def test_a_counter_stays_when_rows_go_and_rises_with_the_next_ones() -> None:
    rising = Rising()
    assert [told(rising, COUNTER, value) for value in (10, 12, 4, 5, 0, 3)] == [10, 12, 12, 13, 13, 16]


def test_a_gauge_is_told_as_it_is() -> None:
    rising = Rising()
    assert [told(rising, GAUGE, value) for value in (10, 3)] == [10, 3]


@given(st.lists(st.tuples(*[st.integers(0, 50)] * 8), min_size=2, max_size=6))
def test_no_bucket_of_a_histogram_ever_falls(read: list[tuple[int, ...]]) -> None:
    rising = Rising()
    before: Spread | None = None
    for counts in read:
        found = told(rising, HISTOGRAM, Spread(tuple(map(float, counts)), float(sum(counts))))
        assert isinstance(found, Spread)
        if before is not None:
            assert all(new >= old for new, old in zip(found.counts, before.counts, strict=True))
            assert found.total >= before.total
        before = found


def test_a_restart_goes_on_where_it_was_though_rows_have_gone(tmp_path: Path) -> None:
    file = tmp_path / "metrics" / "counters.json"
    first = Rising(file)
    told(first, COUNTER, 100)
    told(first, COUNTER, 90)
    first.remember("log", {"batch": 7})
    first.save()
    again = Rising(file)
    assert again.recall("log") == {"batch": 7}
    assert told(again, COUNTER, 80) == 100
    assert told(again, COUNTER, 85) == 105
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 1}', '{"version": 1, "counters": [[1]], "memory": {}}', '{"version": 99}'],
)
def test_a_file_that_is_no_good_begins_anew(tmp_path: Path, content: str) -> None:
    file = tmp_path / "counters.json"
    file.write_text(content)
    rising = Rising(file)
    assert told(rising, COUNTER, 5) == 5
    rising.save()
    assert json.loads(file.read_text())["counters"]


def test_a_folder_that_takes_no_file_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    rising = Rising(tmp_path / "taken" / "counters.json")
    rising.save()
    assert told(rising, COUNTER, 5) == 5
    assert told(rising, COUNTER, 2) == 5
