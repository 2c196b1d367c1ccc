"""What is said of a product's parts, from facts that a test makes up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mlops_assets.api.overview.judging import data_part, drift_part, rollout_part, scores_part, training_part, worst
from mlops_assets.api.overview.reads import Check, Data, Run
from mlops_assets.api.overview.schemas import State
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import State as RolloutState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DATA = Data(version=3, rows=1000, sample=False, created_at=NOW)


def check(name: str, *, passed: bool, blocking: bool = True) -> Check:
    return Check("dataset", name, passed, blocking, NOW)


def test_the_worst_part_tells_how_the_whole_is() -> None:
    assert worst([]) is State.NONE
    assert worst([State.GOOD, State.NONE]) is State.GOOD
    assert worst([State.BUSY, State.WARN, State.GOOD]) is State.WARN
    assert worst([State.WARN, State.BAD, State.NONE]) is State.BAD


@pytest.mark.parametrize(
    ("checks", "late", "state", "words"),
    [
        ([check("a", passed=True)], [], State.GOOD, "V3, 1,000 rows"),
        ([], [], State.GOOD, "V3, 1,000 rows"),
        ([], ["prediction_log"], State.WARN, "late: prediction_log"),
        ([check("a", passed=False, blocking=False)], ["prediction_log"], State.WARN, "breaks a"),
        ([check("a", passed=False), check("b", passed=False, blocking=False)], [], State.BAD, "breaks a, b"),
    ],
)
def test_data_are_judged_by_their_checks_before_their_age(
    checks: list[Check], late: list[str], state: State, words: str
) -> None:
    part = data_part(DATA, checks, late)
    assert part.state is state
    assert part.said.endswith(words)


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        ("QUEUED", State.BUSY, "waits for its start"),
        ("STARTED", State.BUSY, "goes on"),
        ("FAILURE", State.BAD, "the newest training failed"),
        ("CANCELED", State.WARN, "the newest training was canceled"),
        ("SUCCESS", State.GOOD, "the newest training succeeded in 3 min"),
    ],
)
def test_the_newest_training_is_what_counts(status: str, state: State, words: str) -> None:
    runs = [Run("r", "train", status, NOW, 180.0 if status == "SUCCESS" else None)]
    part = training_part(runs, [])
    assert (part.state, part.said) == (state, words)


def test_while_a_training_goes_on_the_gates_of_the_one_before_say_nothing() -> None:
    part = training_part([Run("r", "train", "STARTED", NOW, None)], [check("mae_gate", passed=False)])
    assert (part.state, part.said) == (State.BUSY, "goes on")


def rollout(**given: Any) -> tuple[State, str]:
    part = rollout_part(RolloutState(product="homes", **given))
    return part.state, part.said


def test_a_rollout_is_told_by_its_phase() -> None:
    assert rollout() == (State.NONE, "no release yet")
    assert rollout(production=3)[0] is State.GOOD
    share = {"production": 3, "candidate": 4, "candidate_share": 0.2, "phase": Phase.RAMP}
    assert rollout(**share) == (State.BUSY, "release 4 beside 3, 20% of the users")
    assert rollout(production=4, phase=Phase.WATCH)[0] is State.BUSY
    assert rollout(production=3, phase=Phase.ROLLED_BACK)[0] is State.WARN


def test_what_a_person_stopped_or_drift_blocks_is_to_be_looked_at() -> None:
    assert rollout(production=3, paused=True)[0] is State.WARN
    state, said = rollout(production=3, drift_block="total_sqft drifted on 2 days")
    assert state is State.WARN
    assert said.endswith("promotions are blocked by drift")


@pytest.mark.parametrize(
    ("status", "state"),
    [("ok", State.GOOD), ("drifted", State.WARN), ("insufficient", State.NONE), ("no_reference", State.NONE)],
)
def test_drift_is_told_by_its_newest_day(status: str, state: State) -> None:
    part = drift_part("homes", "2026-03-01", status, ["a", "b"], NOW)
    assert part.state is state
    assert part.page == "drift#homes"


@pytest.mark.parametrize(("anomalies", "state"), [(49, State.GOOD), (50, State.WARN), (100, State.BAD)])
def test_many_anomalies_are_to_be_looked_at(anomalies: int, state: State) -> None:
    assert scores_part("2026-02", 1000, anomalies, NOW).state is state
    assert scores_part("2026-02", 0, 0, NOW).state is State.NONE
