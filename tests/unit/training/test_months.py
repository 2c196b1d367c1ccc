"""Records by month: what is trained on, and whether a month changed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_assets.training.months import Fingerprints, MonthFacts, months_of, train_until


def frame(*times: str, **columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"at": [pd.Timestamp(time) for time in times], **columns})


def fingerprints(rows: pd.DataFrame, months: np.ndarray) -> dict[str, MonthFacts]:
    counted = Fingerprints()
    counted.add(rows, months)
    return counted.facts()


def test_rows_are_named_by_their_month() -> None:
    found = months_of(frame("2013-03-03 16:48", "2024-12-31 23:59:59", "2013-03-31"), "at")
    assert found.tolist() == ["2013-03", "2024-12", "2013-03"]


def test_a_row_without_a_time_belongs_to_no_month() -> None:
    rows = pd.DataFrame({"at": pd.to_datetime(["2024-01-01", None])})
    with pytest.raises(ValueError, match=r"1 rows have no at"):
        months_of(rows, "at")


def test_the_newest_months_are_held_out_whole() -> None:
    months = np.repeat([f"2024-{month:02}" for month in range(1, 11)], 100)
    assert train_until(months, 0.2) == "2024-08"
    assert train_until(months, 0.5) == "2024-05"


def test_a_single_row_far_off_moves_nothing() -> None:
    months = np.repeat([f"2024-{month:02}" for month in range(1, 11)], 100)
    assert train_until(np.append(months, "2099-01"), 0.2) == "2024-08"


@pytest.mark.parametrize("share", [0.001, 0.899])
def test_both_sides_get_at_least_a_month(share: float) -> None:
    assert train_until(np.array(["2013-03"] * 2 + ["2015-08"] * 2), share) == "2013-03"


def test_one_month_can_not_be_divided() -> None:
    with pytest.raises(ValueError, match="2024-01"):
        train_until(np.array(["2024-01"] * 50), 0.2)


def test_a_month_is_the_same_in_another_order_and_changes_with_its_rows() -> None:
    times = ("2024-01-01", "2024-01-02", "2024-02-01")
    rows = frame(*times, words=["A", "B", "C"], count=[1.0, None, 3.0])
    first = fingerprints(rows, months_of(rows, "at"))
    shuffled = rows.iloc[[2, 1, 0]]
    assert fingerprints(shuffled, months_of(shuffled, "at")) == first
    assert {month: facts["rows"] for month, facts in first.items()} == {"2024-01": 2, "2024-02": 1}
    changed = rows.assign(words=["A", "B", "D"])
    second = fingerprints(changed, months_of(changed, "at"))
    assert second["2024-01"] == first["2024-01"]
    assert second["2024-02"] != first["2024-02"]


def test_a_month_that_is_there_twice_is_another_month() -> None:
    rows = frame("2024-01-01", "2024-01-02", words=["A", "B"])
    twice = pd.concat([rows, rows], ignore_index=True)
    assert fingerprints(rows, months_of(rows, "at")) != fingerprints(twice, months_of(twice, "at"))
