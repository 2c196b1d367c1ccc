"""How months are put together so that few records are in memory at once."""

from __future__ import annotations

from mlops_assets.batch.groups import divide


def test_months_follow_each_other_until_a_group_is_full() -> None:
    rows = {"2024-01": 40, "2024-02": 60, "2024-03": 1, "2024-05": 99, "2024-06": 1}
    assert divide(rows, 100) == [("2024-01", "2024-02"), ("2024-03", "2024-05"), ("2024-06",)]


def test_a_month_that_is_too_large_is_a_group_of_its_own() -> None:
    assert divide({"2024-01": 1, "2024-02": 500, "2024-03": 1}, 100) == [("2024-01",), ("2024-02",), ("2024-03",)]


def test_months_without_records_fill_no_group() -> None:
    assert divide({"2024-01": 0, "2024-02": 100, "2024-03": 0}, 100) == [("2024-01", "2024-02", "2024-03")]
    assert divide({}, 100) == []
