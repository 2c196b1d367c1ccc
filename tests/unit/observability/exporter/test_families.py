"""Sheets: what is refused, what is left out, what adds up, and that the text can be read back."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mlops_assets.observability.exporter.families import Sheet, Spread, safe
from mlops_assets.observability.exporter.metrics import Kind, Metric
from mlops_assets.observability.exporter.watching import Page

RUNS = Metric("runs_total", Kind.COUNTER, "Runs.", ("job",), 3)
AGE = Metric("age_seconds", Kind.GAUGE, "Age.", ("job",), 3)
LAST = Metric("wait_seconds", Kind.HISTOGRAM, "Wait.", ("job",), 3, (1.0, 10.0))


def sheet() -> Sheet:
    return Sheet([RUNS, AGE, LAST])


def read_back(found: Sheet) -> dict[tuple[str, ...], float]:
    """Every sample of the written text, by name and label values."""
    text = Page(tuple(found.families())).text(False).decode()
    families = text_string_to_metric_families(text)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_what_was_put_can_be_read_from_the_text() -> None:
    found = sheet()
    found.put("runs_total", 3, job="train")
    found.put("age_seconds", Decimal("1.5"), job="train")
    found.spread("wait_seconds", Spread((1, 2, 4), 99.5), job="train")
    assert read_back(found) == {
        ("runs_total", "train"): 3,
        ("age_seconds", "train"): 1.5,
        ("wait_seconds_bucket", "train", "1"): 1,
        ("wait_seconds_bucket", "train", "10"): 3,
        ("wait_seconds_bucket", "train", "+Inf"): 7,
        ("wait_seconds_count", "train"): 7,
        ("wait_seconds_sum", "train"): 99.5,
    }


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_series(value: float | None) -> None:
    found = sheet()
    found.put("age_seconds", value, job="train")
    assert found.values == {}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("strange_total", {"job": "train"}),
        ("runs_total", {}),
        ("runs_total", {"job": "train", "more": "x"}),
        ("wait_seconds", {"job": "train"}),
    ],
)
def test_what_the_contract_does_not_have_is_refused(name: str, labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=name):
        sheet().put(name, 1, **labels)


def test_buckets_must_be_those_of_the_contract() -> None:
    with pytest.raises(ValueError, match="2 buckets"):
        sheet().spread("wait_seconds", Spread((1, 2), 3), job="train")


def test_series_beyond_the_bound_are_left_out_and_counted() -> None:
    found = sheet()
    for n in range(5):
        found.put("age_seconds", n, job=f"job_{n}")
        # Known already: no further series.
        found.put("age_seconds", n, job="job_0")
    assert list(found.values["age_seconds"]) == [("job_0",), ("job_1",), ("job_2",)]
    assert found.dropped == {"age_seconds": 2}


def test_what_is_left_out_is_not_remembered_without_end() -> None:
    found = sheet()
    for n in range(10_000):
        found.put("age_seconds", n, job=f"job_{n}")
    assert found.dropped["age_seconds"] <= AGE.most


def test_counters_of_one_name_add_up_and_the_first_gauge_counts() -> None:
    found = sheet()
    for value in (2, 3):
        found.put("runs_total", value, job='a "strange" name')
        found.put("age_seconds", value, job="")
        found.spread("wait_seconds", Spread((value, 0, 0), value), job="a\nb")
    assert found.values["runs_total"] == {("other",): 5}
    assert found.values["age_seconds"] == {("other",): 2}
    assert found.values["wait_seconds"] == {("other",): Spread((5, 0, 0), 5)}


@given(st.text(max_size=150))
def test_no_word_can_break_the_text(word: str) -> None:
    found = sheet()
    found.put("age_seconds", 1, job=word)
    assert read_back(found) == {("age_seconds", safe(word)): 1}
    assert safe(word) in (word, "other")
    assert len(safe(word)) <= 100
    assert not set(safe(word)) & set("\n\"\\ {}',=\u2028")
