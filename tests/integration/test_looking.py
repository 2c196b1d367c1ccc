"""Looks on a real ledger and log: what is recorded, what follows, and two at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from mlops_assets.rollout import looking
from mlops_assets.rollout.facts import Decision, Effect, Evidence, Guardrail
from mlops_assets.rollout.ledger import Conflict, Event, Ledger
from mlops_assets.rollout.looking import LookResult, digest, look_once
from mlops_assets.rollout.phases import Phase
from mlops_assets.storage.database import Database, LedgerEntry
from tests.integration.rollouts import POLICY, Rollout, begun


@pytest.fixture
def rollout(database: Database) -> Rollout:
    return begun(database)


def look(rollout: Rollout, **how: Any) -> LookResult:
    return look_once(rollout.ledger, rollout.database, rollout.product, POLICY, now=rollout.now, **how)


def newest(rollout: Rollout) -> LedgerEntry:
    return rollout.ledger.history(rollout.product)[0]


def failing(rollout: Rollout) -> None:
    """Two minutes in which nothing that is the candidate's is answered by it."""
    for n in range(60):
        rollout.log.predict("production", f"p{n}")
        rollout.log.predict("candidate", f"c{n}", variant="production")
    rollout.log.ship()


def test_a_look_that_changes_nothing_keeps_everything_it_saw(rollout: Rollout) -> None:
    rollout.rate_both(3, 3.5, 4.0)
    rollout.log.ship()
    result = look(rollout)
    entry = newest(rollout)
    assert (result.recorded, result.verdict, entry.event) == (True, "continue", Event.LOOK)
    assert result.evidence is not None
    assert Evidence.from_json(entry.details["evidence"]) == result.evidence
    assert entry.details["policy"] == POLICY.model_dump(mode="json")
    assert entry.details["verdict"] == "continue"
    assert entry.details["reasons"] == list(result.decision.reasons if result.decision else ())
    assert entry.details["digest"] == digest(Evidence.from_json(entry.details["evidence"]))
    assert len(entry.details["code_version"]) == 12
    assert (result.state.phase, result.state.candidate) == (Phase.HOLD, 2)


def test_a_better_candidate_is_promoted_and_a_worse_one_rolled_back(rollout: Rollout, database: Database) -> None:
    rollout.rate_both(100, 3.0, 4.5)
    rollout.log.ship()
    up = look(rollout)
    assert (up.verdict, up.state.phase, up.state.production) == ("promote", Phase.PROMOTING, 2)
    other = begun(database, "other")
    other.rate_both(100, 4.5, 3.0)
    other.log.ship()
    down = look(other)
    assert (down.verdict, down.state.phase, down.state.production) == ("roll_back", Phase.ROLLED_BACK, 1)
    assert newest(other).reason.startswith("The candidate is worse")


def test_without_a_comparison_nothing_is_recorded_and_it_says_why(rollout: Rollout) -> None:
    rollout.ledger.rollback(rollout.product, actor="kim", reason="no")
    before = rollout.state
    result = look(rollout)
    assert (result.recorded, result.evidence, result.verdict) == (False, None, None)
    assert "no candidate" in result.said
    assert rollout.state == before
    ledger = rollout.ledger
    ledger.publish(rollout.product, ledger.reserve(rollout.product, "third", 1), "/releases/3", {}, actor="test")
    assert "no users yet (phase shadow)" in look(rollout).said


def test_one_key_is_one_row(rollout: Rollout) -> None:
    first = look(rollout, key="look:1:2026-03-02T12")
    again = look(rollout, key="look:1:2026-03-02T12")
    assert (first.recorded, again.recorded) == (True, False)
    assert "recorded already" in again.said
    assert len(rollout.ledger.looks(rollout.product, 1)) == 1


def test_two_looks_at_once_leave_one_row_for_a_key(rollout: Rollout) -> None:
    rollout.rate_both(100, 3.0, 4.5)
    rollout.log.ship()
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: look(rollout, key="hour"), range(4)))
    assert len(rollout.ledger.looks(rollout.product, 1)) == 1
    assert rollout.state.production == 2
    assert any(result.recorded for result in done)


def test_of_looks_at_once_without_a_key_one_promotes(rollout: Rollout) -> None:
    rollout.rate_both(100, 3.0, 4.5)
    rollout.log.ship()
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: look(rollout), range(4)))
    events = [entry.event for entry in rollout.ledger.history(rollout.product)]
    assert events.count(Event.PROMOTED) == 1
    assert sum(result.recorded for result in done) == 1


def test_a_decision_in_between_is_looked_at_again(rollout: Rollout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody pauses while the evidence is read: the look is made anew, from the paused state."""
    rollout.rate_both(100, 3.0, 4.5)
    rollout.log.ship()
    read = looking.read_evidence
    pauses = iter([True])

    def interrupted(*given: Any, **named: Any) -> Evidence:
        found = read(*given, **named)
        if next(pauses, False):
            rollout.ledger.pause(rollout.product, actor="kim", reason="wait")
        return found

    monkeypatch.setattr(looking, "read_evidence", interrupted)
    result = look(rollout)
    assert (result.verdict, result.state.paused, result.state.candidate) == ("hold", True, 2)


def test_a_state_that_never_rests_is_given_up(rollout: Rollout, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def conflict(self: Ledger, *_: object, expected_seq: int, **__: object) -> None:
        tried.append(expected_seq)
        raise Conflict("somebody else")

    monkeypatch.setattr(Ledger, "look", conflict)
    with pytest.raises(Conflict):
        look(rollout)
    assert len(tried) == looking.TRIES


def test_a_guardrail_look_records_a_rollback_and_nothing_else(rollout: Rollout) -> None:
    rollout.rate_both(5, 3.5, 4.0)
    rollout.log.ship()
    before = rollout.state.seq
    quiet = look(rollout, record_only_if_decisive=True)
    assert (quiet.recorded, quiet.verdict) == (False, "continue")
    assert rollout.state.seq == before
    failing(rollout)
    loud = look(rollout, record_only_if_decisive=True)
    assert (loud.recorded, loud.verdict, loud.state.candidate) == (True, "roll_back", None)
    assert "failed requests" in newest(rollout).reason


def test_a_guardrail_look_never_promotes(rollout: Rollout) -> None:
    rollout.rate_both(100, 3.0, 4.5)
    rollout.log.ship()
    result = look(rollout, record_only_if_decisive=True)
    assert (result.verdict, result.recorded, rollout.state.candidate) == ("promote", False, 2)


def test_productions_limit_is_fixed_by_the_first_look_that_can_tell_it(rollout: Rollout) -> None:
    for n in range(300):
        rollout.log.predict("production", f"p{n}", ms=10.0)
    rollout.log.ship()
    first = look(rollout, record_only_if_decisive=True)
    assert first.recorded
    for n in range(900):
        rollout.log.predict("production", f"p{n}", ms=80.0)
    rollout.log.ship()
    second = look(rollout, record_only_if_decisive=True)
    assert first.evidence is not None
    assert second.evidence is not None
    assert second.evidence.slow_ms == first.evidence.slow_ms
    assert (second.evidence.production.slow, second.recorded) == (900, False)


def test_a_problem_that_somebody_knows_ends_the_comparison(rollout: Rollout) -> None:
    result = look(rollout, problem="it doesn't answer", record_only_if_decisive=True)
    assert result.verdict == "roll_back"
    assert "it doesn't answer" in newest(rollout).reason


def test_after_a_share_set_by_hand_the_next_step_is_the_next_larger_one(database: Database) -> None:
    policy = POLICY.model_copy(update={"steps": (0.05, 0.2, 0.5), "step_hours": 1.0})
    rollout = begun(database, policy=policy)
    rollout.ledger.share(rollout.product, 0.1, actor="kim", reason="more", steps=policy.steps)
    rollout.log.step = rollout.state.step
    for n in range(400):
        rollout.log.predict("candidate" if n % 10 == 0 else "production", f"u{n}")
    rollout.log.ship()
    now = rollout.now + timedelta(hours=2)
    result = look_once(rollout.ledger, database, rollout.product, policy, now=now)
    assert (result.verdict, result.state.candidate_share, result.state.phase) == ("advance", 0.2, Phase.RAMP)
    assert isinstance(result.decision, Decision)
    assert "20%" in result.decision.reasons[0]


@pytest.mark.parametrize("value", [-0.0, 1e300, 1e16, 1e-300, 0.1 + 0.2, 12345678901234567.0])
def test_the_digest_survives_the_database_s_way_of_writing_numbers(database: Database, value: float) -> None:
    limits = (Guardrail("errors", abs(value), 1000.0, 1, 2),)
    evidence = Evidence(hours=1.0, step_hours=2, effect=Effect(value, 0.1, 0.2, 50, 4.0), guardrails=limits)
    with database.engine.connect() as connection:
        stored = connection.scalar(text("SELECT CAST(:record AS jsonb)"), {"record": json.dumps(evidence.to_json())})
    assert digest(Evidence.from_json(stored)) == digest(evidence)
