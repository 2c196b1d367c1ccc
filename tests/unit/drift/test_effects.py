"""Which drifted days block promotions, and which no longer do: the pure rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import permutations

import pytest

from mlops_assets.drift.effects import ruling
from mlops_assets.drift.facts import Status
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.store import Judged
from mlops_assets.rollout.state import State

POLICY = DriftPolicy()
STATE = State("shop", production=4)
FIRST = date(2026, 3, 1)
OK, DRIFTED = Status.OK, Status.DRIFTED


def day(number: int, status: Status = DRIFTED, strength: float = 1.2, columns: tuple[str, ...] = ("size",)) -> Judged:
    """Day `number` of March beside release 4."""
    drifted = columns if status is DRIFTED else ()
    return Judged(FIRST + timedelta(days=number - 1), 4, status, strength if drifted else 0.0, drifted)


def blocked(*days: Judged, state: State = STATE, policy: DriftPolicy = POLICY) -> bool:
    return ruling(days, state, policy).why is not None


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], False),
        ([DRIFTED], False),
        ([DRIFTED, DRIFTED], True),
        ([DRIFTED, OK, DRIFTED], True),
        ([DRIFTED, DRIFTED, OK], True),
        ([OK, OK, DRIFTED], False),
        ([DRIFTED, DRIFTED, OK, OK], False),
        ([DRIFTED, Status.INSUFFICIENT, Status.NO_REFERENCE, DRIFTED], True),
        ([DRIFTED, DRIFTED, Status.INSUFFICIENT, Status.INSUFFICIENT, Status.INSUFFICIENT], True),
    ],
)
def test_two_drifted_of_the_last_three_judged_days_block(statuses: list[Status], expected: bool) -> None:
    assert blocked(*(day(n, status) for n, status in enumerate(statuses, start=1))) is expected


def test_the_order_in_which_days_were_judged_changes_nothing() -> None:
    days = [day(1), day(2, OK), day(3), day(4, Status.INSUFFICIENT)]
    assert len({ruling(order, STATE, POLICY) for order in permutations(days)}) == 1


@pytest.mark.parametrize(("strength", "expected"), [(1.99, False), (2.0, True)])
def test_one_very_strong_newest_day_blocks_alone(strength: float, expected: bool) -> None:
    assert blocked(day(1, OK), day(2, strength=strength)) is expected
    assert not blocked(day(1, strength=9.0), day(2, OK)), "the newest day decides"


def test_the_reason_names_columns_and_days_for_a_person() -> None:
    found = ruling([day(1, columns=("size", "town")), day(2, OK), day(3, columns=("town", "age"))], STATE, POLICY)
    assert found.why == "town, age and size drifted on 2 of the last 3 judged days: 2026-03-01 and 2026-03-03"
    assert (found.columns, found.days) == (("town", "age", "size"), (date(2026, 3, 3), date(2026, 3, 1)))
    strong = ruling([day(3, strength=2.44)], STATE, POLICY).why
    assert strong == "size drifted on 2026-03-03 by 2.4 times the least that counts; 2 times are enough for a block"


def test_a_reason_stays_short_whatever_drifted() -> None:
    policy = DriftPolicy(block_of=40, block_days=2)
    many = tuple(f"column_{n}" for n in range(50))
    found = ruling([day(n, columns=many) for n in range(1, 31)], STATE, policy)
    assert found.why is not None
    assert "column_3 and 46 more drifted on 30 of the last 30 judged days: 25 earlier, " in found.why
    assert len(found.why) < 300
    assert found.columns == many


def test_days_beside_the_data_of_another_release_say_nothing_of_this_one() -> None:
    before = [replace(day(n), release=3) for n in (1, 2, 3)]
    found = ruling(before, STATE, POLICY)
    assert (found.why, found.said) == (None, "no newly judged day was compared with the data of release 4")
    assert not blocked(*before, day(4)), "one drifted day of release 4"
    assert blocked(*before, day(4), day(5))
    assert not blocked(day(2), replace(day(3, strength=9.0), release=5)), "the strong one is of a release gone since"


def test_a_candidate_that_learnt_from_such_data_is_not_blocked() -> None:
    newest = replace(day(3), candidate_release=5, candidate_status=OK)
    days = [day(2), newest]
    found = ruling(days, replace(STATE, candidate=5), POLICY)
    assert (found.why, found.said) == (None, "candidate 5 was trained on data like that of 2026-03-03")
    assert blocked(*days), "without a candidate it is about the data"
    assert blocked(*days, state=replace(STATE, candidate=6)), "another candidate"
    assert blocked(*days, day(4), state=replace(STATE, candidate=5)), "not compared with the newest judged day"
    for status in (DRIFTED, Status.NO_REFERENCE, Status.INSUFFICIENT):
        assert blocked(day(2), replace(newest, candidate_status=status), state=replace(STATE, candidate=5))


def test_without_a_block_it_is_told_what_was_seen() -> None:
    assert ruling([day(1), day(2, OK), day(3, OK)], STATE, POLICY).said == "drift on 1 of the last 3 judged days"
