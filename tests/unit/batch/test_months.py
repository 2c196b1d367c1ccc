"""Which months are due: new, changed and vanished ones, never the same twice."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mlops_assets.batch.months import EMPTY, Due, between, due

FIRST, NOW = "2013-01", "2024-12"


def found(present: Mapping[str, str], scored: Mapping[str, str]) -> Due:
    return due(present, scored, FIRST, NOW)


def test_at_first_everything_is_due_in_one_stretch_with_the_empty_months_between() -> None:
    first = found({"2013-03": "a", "2013-06": "b", "2013-05": "c"}, {})
    assert first.stretches == (("2013-03", "2013-04", "2013-05", "2013-06"),)


def test_the_same_records_again_are_due_never() -> None:
    present = {"2024-01": "a", "2024-03": "b"}
    assert found(present, {"2024-01": "a", "2024-02": EMPTY, "2024-03": "b"}) == Due(())


def test_a_new_and_a_changed_month_are_stretches_of_their_own() -> None:
    scored = {month: "a" for month in between("2023-11", "2024-04")}
    present = dict(scored) | {"2023-12": "b", "2024-05": "c", "2024-06": "d"}
    assert found(present, scored).stretches == (("2023-12",), ("2024-05", "2024-06"))


def test_a_month_whose_records_are_gone_is_scored_anew_once() -> None:
    scored = {"2024-01": "a", "2024-02": "b", "2024-03": "c"}
    assert found({"2024-01": "a"}, scored).months == ("2024-02", "2024-03")
    assert found({"2024-01": "a"}, scored | {"2024-02": EMPTY, "2024-03": EMPTY}).months == ()
    assert found({}, {"2024-01": "a"}).months == ("2024-01",), "all records gone"


def test_records_come_back() -> None:
    assert found({"2024-01": "a", "2024-02": "b"}, {"2024-01": "a", "2024-02": EMPTY}).months == ("2024-02",)


def test_months_outside_are_told_and_not_scored() -> None:
    present = {"1999-12": "a", "2012-12": "b", "2024-12": "c", "2025-01": "d"}
    outside = found(present, {})
    assert (outside.months, outside.early, outside.late) == (("2024-12",), ("1999-12", "2012-12"), ("2025-01",))
    assert found({"1999-12": "a"}, {}).months == ()


def test_scored_months_outside_are_left_as_they_are() -> None:
    assert due({"2024-01": "a"}, {"2020-01": "x", "2024-01": "a"}, "2024-01", NOW).months == ()


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        ("2023-11", "2024-02", ("2023-11", "2023-12", "2024-01", "2024-02")),
        ("2024-01", "2024-01", ("2024-01",)),
        ("2024-02", "2024-01", ()),
    ],
)
def test_months_in_between(first: str, last: str, months: tuple[str, ...]) -> None:
    assert between(first, last) == months


def test_nothing_at_all() -> None:
    assert found({}, {}) == Due(())
