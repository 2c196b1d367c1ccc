"""A month's figures against counting by hand, months of no and one record, and the gate on rates."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_assets.batch.figures import Counts, rate_gate


def rows(count: int = 400) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 60 * 24, count), unit="h")
    weather = pd.Series(draw.choice(["CLEAR", "RAIN"], count)).mask(pd.Series(draw.random(count) < 0.1))
    return pd.DataFrame({"at": at, "weather": weather})


def test_counts_are_those_of_the_part() -> None:
    made, score = rows(), np.random.default_rng(6).normal(0.1, 0.1, 400)
    found = Counts.of(made, "at", ["weather"], score).figures(slice(100, 300))
    part, odd = made[100:300], score[100:300] < 0
    assert (found.records, found.anomalies) == (200, int(odd.sum()))
    assert found.groups["weather"] == {
        name: [int(mask.sum()), int((mask & odd).sum())]
        for name, mask in {
            "CLEAR": (part["weather"] == "CLEAR").to_numpy(),
            "RAIN": (part["weather"] == "RAIN").to_numpy(),
            "(missing)": part["weather"].isna().to_numpy(),
        }.items()
    }
    friday_nine = (part["at"].dt.day_name() == "Friday") & (part["at"].dt.hour == 9)
    assert found.hours["records"][4][9] == friday_nine.sum()
    assert found.hours["anomalies"][4][9] == (friday_nine & odd).sum()
    assert np.sum(found.hours["anomalies"]) == odd.sum()
    assert found.low_score == pytest.approx(np.quantile(score[100:300], 0.01))
    assert found.scores == {
        "min_score": score[100:300].min(),
        "max_score": score[100:300].max(),
        "mean_score": pytest.approx(score[100:300].mean()),
    }


def test_no_record_and_one() -> None:
    counts = Counts.of(rows(1), "at", ["weather"], np.array([-0.5]))
    none, one = counts.figures(slice(1, 1)), counts.figures(slice(0, 1))
    assert (none.records, none.groups, none.scores) == (
        0,
        {"weather": {}},
        {"min_score": None, "max_score": None, "mean_score": None},
    )
    assert (one.records, one.anomalies, one.low_score, one.mean_score) == (1, 1, -0.5, -0.5)


def month(number: int, records: int, anomalies: int, in_training: bool = False) -> Any:
    return SimpleNamespace(month=date(2024, number, 1), records=records, anomalies=anomalies, in_training=in_training)


def test_the_gate_names_the_worst_month_after_training() -> None:
    months = [month(1, 1000, 900, in_training=True), month(2, 50, 50), month(3, 1000, 90), month(4, 1000, 250)]
    gate = rate_gate(months, 0.10, 200)
    assert not gate.passed
    assert gate.said == (
        "1 of 2 months after training have more than 10 % anomalies; "
        "2024-04 has the highest rate, 25 % of 1,000 records"
    )
    assert (gate.rate, gate.months) == (0.25, 2)
    assert rate_gate(months, 0.25, 200).passed, "as many as are allowed"


def test_the_gate_passes_while_no_month_counts() -> None:
    gate = rate_gate([month(1, 1000, 900, in_training=True), month(2, 50, 50)], 0.10, 200)
    assert (gate.passed, gate.rate) == (True, None)
    assert "no month after training" in gate.said
    assert rate_gate([], 0.1, 1).passed
