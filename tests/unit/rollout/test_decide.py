"""Verdicts: every rule at its edge, what blocks what, and which of two outcomes wins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.rollout.decide import Verdict, decide
from mlops_assets.rollout.facts import Arm, Decision, Effect, Evidence, Guardrail, SampleRatio
from mlops_assets.rollout.phases import ACTIVE, COMPARING, Phase
from mlops_assets.rollout.policy import RolloutPolicy

SEQUENTIAL = RolloutPolicy()
THRESHOLD = RolloutPolicy(policy="threshold")
RAMPED = RolloutPolicy(steps=(0.05, 0.2, 0.5))
PRODUCTION = Arm(requests=9000, units=9000, ratings=450, raters=450, mean_rating=3.9, mean_ms=20.0)
CANDIDATE = Arm(requests=2000, units=2000, ratings=100, raters=100, mean_rating=3.9, mean_ms=20.0)
FINE = SampleRatio(1.0, 0.2, 9000, 2000)
BETTER = Effect(theta=0.21, se=0.03, half=0.13, raters=612, production_mean=3.9)
WORSE = Effect(theta=-0.21, se=0.03, half=0.13, raters=612, production_mean=3.9)
EVEN = Effect(theta=0.02, se=0.03, half=0.13, raters=612, production_mean=3.9)
FAILING = Guardrail("errors", 2300.0, 1000.0, production_bad=3, candidate_bad=12, span_seconds=95.0)


def seen(**changes: Any) -> Evidence:
    """Evidence of two days at 20 % without trouble or difference."""
    plain: dict[str, Any] = {
        "hours": 48.0,
        "step_hours": 48.0,
        "production": PRODUCTION,
        "candidate": CANDIDATE,
        "effect": EVEN,
        "sample_ratio": FINE,
    }
    return Evidence(**(plain | changes))


def judged(evidence: Evidence, policy: RolloutPolicy = SEQUENTIAL, **where: Any) -> Decision:
    return decide(**({"phase": Phase.HOLD, "step": 0, "paused": False} | where), evidence=evidence, policy=policy)


def verdict(evidence: Evidence, policy: RolloutPolicy = SEQUENTIAL, **where: Any) -> str:
    return judged(evidence, policy, **where).verdict


def raters(number: int) -> Arm:
    return replace(CANDIDATE, raters=number, ratings=number)


def test_a_better_candidate_is_promoted_and_the_reason_has_the_numbers() -> None:
    decision = judged(seen(effect=BETTER))
    assert decision.verdict == Verdict.PROMOTE
    assert decision.reasons[0] == "The candidate is better by 0.21 stars (0.08 … 0.34 at every look), 612 raters."


def test_a_worse_candidate_is_rolled_back() -> None:
    decision = judged(seen(effect=WORSE))
    assert decision.verdict == Verdict.ROLL_BACK
    assert "worse by 0.21 stars (-0.34 … -0.08 at every look), 612 raters" in decision.reasons[0]


def test_no_difference_continues() -> None:
    assert verdict(seen()) == Verdict.CONTINUE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hours": 23.9}, Verdict.CONTINUE),
        ({"hours": 24.0}, Verdict.PROMOTE),
        ({"candidate": raters(49)}, Verdict.CONTINUE),
        ({"candidate": raters(50)}, Verdict.PROMOTE),
        ({"sample_ratio": replace(FINE, p_value=0.0009)}, Verdict.HOLD),
        ({"sample_ratio": replace(FINE, p_value=0.001)}, Verdict.PROMOTE),
        ({"drift_block": "4 of 9 columns drifted"}, Verdict.HOLD),
        ({"guardrails": (replace(FAILING, span_seconds=59.0),)}, Verdict.HOLD),
        ({"guardrails": (replace(FAILING, e_value=999.0),)}, Verdict.PROMOTE),
    ],
)
def test_a_promotion_waits_for_every_condition(changes: dict[str, Any], expected: Verdict) -> None:
    assert verdict(seen(effect=BETTER, **changes)) == expected


@pytest.mark.parametrize(("number", "expected"), [(19, Verdict.CONTINUE), (20, Verdict.ROLL_BACK)])
def test_a_rollback_by_ratings_waits_for_raters_only(number: int, expected: Verdict) -> None:
    assert verdict(seen(effect=WORSE, candidate=raters(number), hours=1.0)) == expected


@pytest.mark.parametrize(
    ("margin", "theta", "expected"),
    [
        (0.0, 0.13, Verdict.CONTINUE),
        (0.0, 0.131, Verdict.PROMOTE),
        (-0.02, 0.053, Verdict.PROMOTE),
        (-0.02, 0.051, Verdict.CONTINUE),
        (0.01, 0.168, Verdict.CONTINUE),
        (0.01, 0.170, Verdict.PROMOTE),
    ],
)
def test_the_margin_is_relative_to_productions_mean(margin: float, theta: float, expected: Verdict) -> None:
    policy = RolloutPolicy(margin=margin)
    assert verdict(seen(effect=replace(BETTER, theta=theta)), policy) == expected


def test_where_the_evidence_speaks_for_both_the_rollback_wins() -> None:
    slightly_worse = Effect(theta=-0.04, se=0.005, half=0.02, raters=9000, production_mean=4.0)
    assert verdict(seen(effect=slightly_worse), RolloutPolicy(margin=-0.02)) == Verdict.ROLL_BACK
    assert verdict(seen(effect=BETTER, guardrails=(FAILING,))) == Verdict.ROLL_BACK


@pytest.mark.parametrize("policy", [SEQUENTIAL, THRESHOLD])
@pytest.mark.parametrize("phase", sorted(COMPARING))
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("changes", [{"guardrails": (FAILING,)}, {"candidate_problem": "it doesn't answer"}])
def test_a_broken_candidate_is_rolled_back_at_once(
    policy: RolloutPolicy, phase: Phase, paused: bool, changes: dict[str, Any]
) -> None:
    fresh = seen(hours=0.05, step_hours=0.05, effect=None, **changes)
    assert verdict(fresh, policy, phase=phase, paused=paused) == Verdict.ROLL_BACK


def test_the_reason_of_a_guardrail_has_the_numbers() -> None:
    slow = Guardrail("slow", 4321.0, 1000.0, production_bad=40, candidate_bad=200, span_seconds=164.0)
    (reason,) = judged(seen(guardrails=(slow,), slow_ms=31.4)).reasons
    for part in ("slow requests (above 31.4 ms)", "200 of the candidate", "40 of production", "4.32e+03", "164 s"):
        assert part in reason


@pytest.mark.parametrize(("span", "expected"), [(59.9, Verdict.CONTINUE), (60.0, Verdict.ROLL_BACK)])
def test_bad_requests_of_one_moment_end_nothing(span: float, expected: Verdict) -> None:
    assert verdict(seen(guardrails=(replace(FAILING, span_seconds=span),))) == expected


def test_the_span_is_in_the_policys_time() -> None:
    brief = seen(guardrails=(replace(FAILING, span_seconds=0.7),))
    assert verdict(brief) == Verdict.CONTINUE
    assert verdict(brief, SEQUENTIAL.scaled(100)) == Verdict.ROLL_BACK


@pytest.mark.parametrize("effect", [None, EVEN])
@pytest.mark.parametrize("policy", [SEQUENTIAL, THRESHOLD])
def test_a_comparison_without_a_verdict_expires(policy: RolloutPolicy, effect: Effect | None) -> None:
    late = seen(hours=14 * 24.0, effect=effect)
    decision = judged(late, policy)
    assert decision.verdict == Verdict.EXPIRE
    assert "inconclusive after 14.0 days" in decision.reasons[0]
    assert verdict(replace(late, hours=14 * 24.0 - 0.1), policy) != Verdict.EXPIRE


def test_a_verdict_at_the_last_look_counts() -> None:
    assert verdict(seen(hours=14 * 24.0, effect=BETTER)) == Verdict.PROMOTE
    assert verdict(seen(hours=14 * 24.0, effect=WORSE)) == Verdict.ROLL_BACK


def test_a_blocked_promotion_expires_too_and_says_what_blocked_it() -> None:
    decision = judged(seen(hours=15 * 24.0, effect=BETTER, drift_block="4 of 9 columns drifted"))
    assert decision.verdict == Verdict.EXPIRE
    assert "4 of 9 columns drifted" in decision.reasons[1]


@pytest.mark.parametrize(
    ("changes", "phase"),
    [({"effect": BETTER}, Phase.HOLD), ({"hours": 400.0}, Phase.HOLD), ({"step_hours": 30.0}, Phase.RAMP)],
    ids=["promotion", "expiry", "advance"],
)
def test_a_pause_holds_what_is_due(changes: dict[str, Any], phase: Phase) -> None:
    assert verdict(seen(**changes), RAMPED, phase=phase) != Verdict.HOLD
    decision = judged(seen(**changes), RAMPED, phase=phase, paused=True)
    assert decision.verdict == Verdict.HOLD
    assert decision.reasons[0] == "The rollout is paused."


@pytest.mark.parametrize("policy", [SEQUENTIAL, THRESHOLD, RAMPED])
@pytest.mark.parametrize("phase", sorted(COMPARING))
@pytest.mark.parametrize(
    "silent", [{"candidate": Arm()}, {"production": Arm()}, {"candidate": Arm(), "production": Arm()}]
)
def test_without_data_nothing_happens_and_the_reason_says_so(
    policy: RolloutPolicy, phase: Phase, silent: dict[str, Any]
) -> None:
    decision = judged(seen(effect=None, sample_ratio=SampleRatio(), **silent), policy, phase=phase)
    assert decision.verdict == Verdict.HOLD
    assert "no data" in decision.reasons[0]
    assert "0 requests" in decision.reasons[0]


@pytest.mark.parametrize(
    ("share", "changes", "expected"),
    [
        (0.05, {}, Verdict.ADVANCE),
        (0.2, {}, Verdict.ADVANCE),
        (0.1, {}, Verdict.ADVANCE),
        (0.05, {"effect": None}, Verdict.ADVANCE),
        (0.05, {"step_hours": 23.9}, Verdict.CONTINUE),
        (0.05, {"drift_block": "drift"}, Verdict.ADVANCE),
        (0.05, {"guardrails": (replace(FAILING, span_seconds=1.0),)}, Verdict.HOLD),
        (0.05, {"effect": WORSE}, Verdict.ROLL_BACK),
        (0.05, {"effect": BETTER}, Verdict.PROMOTE),
    ],
)
def test_a_step_without_trouble_is_followed_by_the_next(
    share: float, changes: dict[str, Any], expected: Verdict
) -> None:
    evidence = seen(sample_ratio=SampleRatio(1.0, share, 900, 50), **changes)
    assert verdict(evidence, RAMPED, phase=Phase.RAMP) == expected


def test_the_reason_of_an_advance_names_the_share_to_come() -> None:
    decision = judged(seen(sample_ratio=SampleRatio(1.0, 0.1, 900, 100)), RAMPED, phase=Phase.RAMP, step=1)
    assert decision.reasons[0] == "Step 2 passed 48.0 h without trouble: the share rises to 20%."


def test_the_last_step_has_nothing_to_follow() -> None:
    assert verdict(seen(sample_ratio=SampleRatio(1.0, 0.5, 900, 900)), RAMPED, phase=Phase.HOLD) == Verdict.CONTINUE


@pytest.mark.parametrize(
    "ratio",
    [
        SampleRatio(1.0),
        SampleRatio(1.0, 0.05, 900, 19),
        SampleRatio(1.0, 0.05, 0, 60),
        SampleRatio(1e-9, 0.05, 900, 300),
    ],
    ids=["dried up", "hardly anybody", "no production", "wrong split"],
)
def test_a_step_that_showed_nothing_or_is_split_wrongly_is_not_followed(ratio: SampleRatio) -> None:
    decision = judged(seen(sample_ratio=ratio), RAMPED, phase=Phase.RAMP)
    assert decision.verdict == Verdict.HOLD
    assert "users" in decision.reasons[0].lower()


@pytest.mark.parametrize("phase", sorted(set(Phase) - ACTIVE))
def test_outside_a_comparison_nothing_is_decided(phase: Phase) -> None:
    everything = seen(effect=BETTER, guardrails=(FAILING,), candidate_problem="down", hours=900.0)
    assert verdict(everything, phase=phase) == Verdict.HOLD


def test_a_candidate_that_is_loading_can_only_fail() -> None:
    assert verdict(seen(effect=BETTER, hours=900.0), phase=Phase.SHADOW) == Verdict.HOLD
    assert verdict(seen(candidate_problem="its parity check failed"), phase=Phase.SHADOW) == Verdict.ROLL_BACK


def score(arm: Arm) -> float:
    assert arm.mean_rating is not None
    assert arm.mean_ms is not None
    return 0.7 * arm.mean_rating / 5 + 0.3 * max(0.0, (5000 - arm.mean_ms) / 5000)


@given(st.floats(1, 5), st.floats(1, 5), st.floats(0, 9000), st.floats(0, 9000))
def test_the_threshold_policy_is_the_reference_rule(mine: float, theirs: float, my_ms: float, their_ms: float) -> None:
    candidate = Arm(requests=50, ratings=10, raters=1, mean_rating=mine, mean_ms=my_ms)
    production = Arm(requests=50, ratings=10, raters=1, mean_rating=theirs, mean_ms=their_ms)
    expected = Verdict.CONTINUE
    if score(candidate) > 1.05 * score(production):
        expected = Verdict.PROMOTE
    elif score(candidate) < 0.8 * score(production):
        expected = Verdict.ROLL_BACK
    mismatch = SampleRatio(1e-9, 0.2, 50, 50)
    one_look = Evidence(0.1, 0.1, production, candidate, sample_ratio=mismatch)
    assert verdict(one_look, THRESHOLD) == expected


@pytest.mark.parametrize("short", [{"requests": 49}, {"ratings": 9}, {"mean_ms": None}, {"mean_rating": None}])
@pytest.mark.parametrize("arm", ["production", "candidate"])
def test_the_reference_rule_has_its_minimum_for_each_release(arm: str, short: dict[str, Any]) -> None:
    both = {
        "candidate": Arm(requests=50, ratings=10, mean_rating=5.0, mean_ms=20.0),
        "production": Arm(requests=50, ratings=10, mean_rating=3.0, mean_ms=20.0),
    }
    assert verdict(seen(**both), THRESHOLD) == Verdict.PROMOTE
    decision = judged(seen(**(both | {arm: replace(both[arm], **short)})), THRESHOLD)
    assert decision.verdict == Verdict.CONTINUE
    assert "50 requests and 10 ratings" in decision.reasons[0]


def test_the_reference_rule_can_be_paused_and_blocked() -> None:
    good = seen(candidate=replace(CANDIDATE, mean_rating=4.9))
    assert verdict(good, THRESHOLD) == Verdict.PROMOTE
    assert verdict(good, THRESHOLD, paused=True) == Verdict.HOLD
    assert verdict(replace(good, drift_block="drift"), THRESHOLD) == Verdict.HOLD


EFFECTS = st.none() | st.builds(
    Effect,
    theta=st.floats(-4, 4),
    se=st.just(0.1),
    half=st.floats(0, 3),
    raters=st.integers(2, 10**6),
    production_mean=st.floats(1, 5),
)
ARMS = st.builds(
    Arm,
    requests=st.integers(0, 10**6),
    ratings=st.integers(0, 10**4),
    raters=st.integers(0, 10**4),
    mean_rating=st.none() | st.floats(1, 5),
    mean_ms=st.none() | st.floats(0, 10**4),
)
EVIDENCE = st.builds(
    Evidence,
    hours=st.floats(0, 500),
    step_hours=st.floats(0, 500),
    production=ARMS,
    candidate=ARMS,
    effect=EFFECTS,
    guardrails=st.lists(st.just(FAILING) | st.just(replace(FAILING, span_seconds=1.0)), max_size=1).map(tuple),
    sample_ratio=st.builds(
        SampleRatio,
        st.floats(0, 1),
        st.sampled_from((None, 0.05, 0.2, 0.5)),
        production=st.integers(0, 99),
        candidate=st.integers(0, 99),
    ),
    candidate_problem=st.sampled_from((None, "down")),
    drift_block=st.sampled_from((None, "drift")),
)


@given(st.sampled_from(sorted(Phase)), st.booleans(), EVIDENCE, st.sampled_from((SEQUENTIAL, THRESHOLD, RAMPED)))
def test_no_evidence_makes_a_blocked_rollout_go_on_or_leaves_a_broken_one(
    phase: Phase, paused: bool, evidence: Evidence, policy: RolloutPolicy
) -> None:
    decision = decide(phase, 0, paused, evidence, policy)
    found = Verdict(decision.verdict)
    assert decision.reasons
    assert all(reason.endswith(".") for reason in decision.reasons)
    if paused:
        assert found in (Verdict.HOLD, Verdict.ROLL_BACK)
    if evidence.drift_block or phase not in COMPARING:
        assert found is not Verdict.PROMOTE
    if phase is not Phase.RAMP:
        assert found is not Verdict.ADVANCE
    if phase in ACTIVE and evidence.candidate_problem:
        assert found is Verdict.ROLL_BACK
    assert decide(phase, 0, paused, Evidence.from_json(evidence.to_json()), policy) == decision
