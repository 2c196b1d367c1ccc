"""The ledger agrees with the kept verdicts: block and lifting as rows, once each, after kills, races and backfills."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import permutations

import pytest

from mlops_assets.drift import effects, store
from mlops_assets.drift.facts import Status
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.rollout.ledger import Conflict, Event, Ledger, LedgerError, State
from mlops_assets.storage.database import Database, LedgerEntry
from tests.integration.drifted_days import judge_day, verdict
from tests.integration.rollouts import PRODUCT, Rollout, begun

POLICY = DriftPolicy()
FIRST = date(2026, 3, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


@pytest.fixture
def rollout(database: Database) -> Rollout:
    """Production 1, candidate 2 with users."""
    return begun(database)


def settle(rollout: Rollout) -> State:
    return effects.settle(rollout.ledger, rollout.database, PRODUCT, POLICY)


def rows(rollout: Rollout) -> list[LedgerEntry]:
    """The rows about drift, oldest first."""
    history = rollout.ledger.history(PRODUCT, limit=500)
    return [entry for entry in reversed(history) if entry.event in (Event.BLOCKED, Event.UNBLOCKED)]


def test_drifted_days_block_and_quiet_ones_lift_once_each(rollout: Rollout) -> None:
    judge_day(rollout.database, day(1))
    assert settle(rollout).drift_block is None, "one day only warns"
    judge_day(rollout.database, day(2))
    blocked = settle(rollout)
    assert blocked.drift_block == "size drifted on 2 of the last 2 judged days: 2026-03-01 and 2026-03-02"
    assert (blocked.candidate, blocked.candidate_share) == (2, 0.2), "the comparison goes on"
    assert settle(rollout) == blocked, "nothing new, no row"
    judge_day(rollout.database, day(3))
    assert settle(rollout) == blocked, "a standing block isn't written again every day"
    judge_day(rollout.database, day(4), Status.INSUFFICIENT)
    judge_day(rollout.database, day(5), Status.OK)
    assert settle(rollout) == blocked, "2 of 3 judged days"
    judge_day(rollout.database, day(6), Status.OK)
    assert settle(rollout).drift_block is None
    block, lifting = rows(rollout)
    assert (block.event, block.actor, block.reason) == (Event.BLOCKED, "drift", blocked.drift_block)
    assert block.details == {"columns": ["size"], "days": ["2026-03-02", "2026-03-01"]}
    assert (lifting.event, lifting.reason) == (Event.UNBLOCKED, "drift on 1 of the last 3 judged days")


def test_a_block_about_other_columns_is_a_new_row(rollout: Rollout) -> None:
    for number in (1, 2):
        judge_day(rollout.database, day(number))
    settle(rollout)
    judge_day(rollout.database, day(3), columns=("town", "size"))
    assert settle(rollout).drift_block.startswith("town and size drifted on 3 of the last 3 judged days")  # type: ignore[union-attr]
    assert [entry.details["columns"] for entry in rows(rollout)] == [["size"], ["town", "size"]]


def test_columns_that_the_reason_does_not_name_change_the_row_only_with_the_reason(rollout: Rollout) -> None:
    many = tuple(f"c{n}" for n in range(9))
    judge_day(rollout.database, day(1), strength=3.0, columns=many)
    once = settle(rollout)
    judge_day(rollout.database, day(1), strength=3.0, columns=(*many[:8], "other"))
    assert settle(rollout) == once


@pytest.mark.parametrize("order", list(permutations((1, 2, 3, 4))))
def test_backfilled_days_give_the_same_result_in_any_order(rollout: Rollout, order: tuple[int, ...]) -> None:
    drifted = {1, 2}
    for number in order:
        judge_day(rollout.database, day(number), Status.DRIFTED if number in drifted else Status.OK)
        state = settle(rollout)
    assert state.drift_block is None
    judge_day(rollout.database, day(3), Status.DRIFTED)
    assert settle(rollout).drift_block is not None, "a day judged again counts as it is now"


def test_a_kill_between_verdict_and_ledger_is_repaired_by_the_next_call(rollout: Rollout) -> None:
    for number in (1, 2):
        store.save(rollout.database, verdict(day(number)))
    assert rollout.state.drift_block is None
    assert settle(rollout).drift_block is not None
    for number in (3, 4, 5):
        store.save(rollout.database, verdict(day(number), Status.OK))
    assert settle(rollout).drift_block is None
    assert len(rows(rollout)) == 2


def test_twenty_at_once_append_one_row(rollout: Rollout) -> None:
    for number in (1, 2):
        judge_day(rollout.database, day(number))
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: settle(rollout), range(20)))
    assert {state.seq for state in states} == {rollout.state.seq}
    assert len(rows(rollout)) == 1


class Late(Ledger):
    """A ledger whose writer is late: `meanwhile` happens just before its first block."""

    def __init__(self, database: Database, meanwhile: Callable[[], object]) -> None:
        super().__init__(database)
        self.waiting = [meanwhile]

    def block(self, *args: object, **how: object) -> State:
        while self.waiting:
            self.waiting.pop()()
        return super().block(*args, **how)  # type: ignore[arg-type]


def test_one_who_read_the_verdicts_before_a_newer_one_came_does_not_have_the_last_word(rollout: Rollout) -> None:
    for number in (1, 2):
        judge_day(rollout.database, day(number))

    def quiet_days() -> None:
        for number in (3, 4):
            judge_day(rollout.database, day(number), Status.OK)
        assert settle(rollout).drift_block is None, "this one sees nothing to change and appends no row"

    late = Late(rollout.database, quiet_days)
    assert effects.settle(late, rollout.database, PRODUCT, POLICY).drift_block is None
    assert rollout.state.drift_block is None


def test_one_who_loses_to_another_decision_looks_again(rollout: Rollout) -> None:
    for number in (1, 2):
        judge_day(rollout.database, day(number))
    late = Late(rollout.database, lambda: rollout.ledger.pause(PRODUCT, actor="kim", reason="lunch"))
    state = effects.settle(late, rollout.database, PRODUCT, POLICY)
    assert (state.paused, state.drift_block is not None) == (True, True)


def test_with_others_deciding_all_the_time_it_gives_up_and_says_so(rollout: Rollout) -> None:
    class Busy(Ledger):
        def block(self, *_: object, **__: object) -> State:
            raise Conflict("others first")

    for number in (1, 2):
        judge_day(rollout.database, day(number))
    with pytest.raises(Conflict, match="5 tries"):
        effects.settle(Busy(rollout.database), rollout.database, PRODUCT, POLICY)


def test_a_candidate_like_today_is_let_through_until_it_is_gone(rollout: Rollout) -> None:
    judge_day(rollout.database, day(1))
    store.save(rollout.database, verdict(day(2)), candidate=verdict(day(2), release=2))
    assert settle(rollout).drift_block is not None, "the candidate is as old as production"
    store.save(rollout.database, verdict(day(3)), candidate=verdict(day(3), Status.OK, release=2))
    assert settle(rollout).drift_block is None
    assert rows(rollout)[-1].reason == "candidate 2 was trained on data like that of 2026-03-03"
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="bad answers")
    assert settle(rollout).drift_block is not None


def test_a_promoted_candidate_starts_without_the_block_of_the_one_before(rollout: Rollout) -> None:
    for number in (1, 2):
        judge_day(rollout.database, day(number))
    settle(rollout)
    rollout.ledger.promote(PRODUCT, "kim", "it knows the new prices")
    state = settle(rollout)
    assert (state.production, state.drift_block) == (2, None)
    assert rows(rollout)[-1].reason == "no newly judged day was compared with the data of release 2"
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="it does not")
    assert settle(rollout).drift_block is not None, "the days were about release 1, which serves again"


def test_a_new_candidate_finds_the_block_as_it_is(rollout: Rollout) -> None:
    for number in (1, 2):
        judge_day(rollout.database, day(number))
    blocked = settle(rollout).drift_block
    version = rollout.ledger.reserve(PRODUCT, "third", 1)
    after = rollout.ledger.publish(PRODUCT, version, "/releases/3", {}, actor="test")
    assert (after.candidate, after.drift_block) == (3, blocked)
    assert settle(rollout) == after


def test_without_a_release_or_a_verdict_nothing_happens(rollout: Rollout) -> None:
    before = rollout.state
    assert settle(rollout) == before
    assert effects.settle(rollout.ledger, rollout.database, "nothing", POLICY).seq == 0


def test_a_block_by_another_hand_is_replaced_by_what_the_days_say(rollout: Rollout) -> None:
    rollout.ledger.block(PRODUCT, "sizes moved", actor="kim")
    assert settle(rollout).drift_block is None
    for number in (1, 2):
        judge_day(rollout.database, day(number))
    rollout.ledger.block(PRODUCT, "sizes moved", actor="kim")
    assert "size drifted" in str(settle(rollout).drift_block)


def test_the_same_block_again_is_no_row_and_an_older_look_a_conflict(rollout: Rollout) -> None:
    seen = rollout.state
    first = rollout.ledger.block(PRODUCT, "sizes moved", actor="kim", expected_seq=seen.seq)
    assert (first.drift_block, rollout.ledger.history(PRODUCT)[0].reason) == ("sizes moved", "sizes moved")
    assert rollout.ledger.block(PRODUCT, "sizes moved", actor="kim") == first
    with pytest.raises(Conflict):
        rollout.ledger.block(PRODUCT, None, actor="kim", expected_seq=seen.seq)
    lifted = rollout.ledger.block(PRODUCT, None, actor="kim", reason="x" * 900)
    assert (lifted.drift_block, len(rollout.ledger.history(PRODUCT)[0].reason)) == (None, 500)
    assert rollout.ledger.block(PRODUCT, None, actor="kim") == lifted
    with pytest.raises(LedgerError, match="serves nothing"):
        rollout.ledger.block("nothing", "sizes moved", actor="kim")
