"""What follows from one look at a rollout: a pure function of its phase, its evidence and its policy.

Add a rule here when the evidence may lead to a new verdict, a verdict with its one line of meaning. Keep out how
evidence comes about (`evidence`, `confidence`, `guardrails`, `sample_ratio`) and what a verdict does (`ledger`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlops_assets.rollout.facts import Arm, Decision, Effect, Evidence, Guardrail
from mlops_assets.rollout.phases import ACTIVE, Phase, next_share
from mlops_assets.rollout.policy import HOURS_PER_DAY, RolloutPolicy, ThresholdRule

MIN_STEP_UNITS = 20  # users of the candidate in a step; with fewer the step showed nothing, however long it took
STARS = 5.0
SLOWEST_MS = 5000.0
RATING_WEIGHT = 0.7


class Verdict(StrEnum):
    """What a look concludes; one line of meaning each."""

    CONTINUE = "continue"  # nothing is shown yet: the shares stay and the next look follows
    ADVANCE = "advance"  # the step passed without trouble: the candidate gets the next, larger share
    PROMOTE = "promote"  # the candidate is shown to be what the policy asks for: it becomes production
    ROLL_BACK = "roll_back"  # the candidate is shown to be worse, or is broken: its users go back at once
    EXPIRE = "expire"  # no verdict in time: production stays, the candidate is kept and serves nobody
    HOLD = "hold"  # no data, or something stands in the way of what is due: a person may want to look


@dataclass(frozen=True)
class Opinion:
    """What a rule alone makes of the evidence, before anything stands in its way."""

    verdict: Verdict
    reasons: tuple[str, ...]


def decide(phase: Phase, step: int, paused: bool, evidence: Evidence, policy: RolloutPolicy) -> Decision:
    """The verdict of one look, with its reasons, the decisive ones first. `step` counts from 0.

    A broken candidate is rolled back under either rule and while paused. Where evidence speaks for both outcomes,
    the rollback wins.
    """
    if phase not in ACTIVE:
        return Decision(Verdict.HOLD, (f"The rollout is in phase {phase.value}: nothing is compared.",))
    broken = _broken(evidence, policy)
    if broken:
        return Decision(Verdict.ROLL_BACK, broken)
    if phase is Phase.SHADOW:
        return Decision(Verdict.HOLD, ("The candidate is being loaded and has no users yet.",))
    rule = _threshold(evidence, policy.threshold) if policy.policy == "threshold" else _sequential(evidence, policy)
    if rule.verdict is Verdict.ROLL_BACK:
        return Decision(rule.verdict, rule.reasons)
    blocks = _blocks(paused, evidence, policy)
    if rule.verdict is Verdict.PROMOTE and not blocks:
        return Decision(rule.verdict, rule.reasons)
    if evidence.hours >= policy.max_days * HOURS_PER_DAY and not paused:
        days = evidence.hours / HOURS_PER_DAY
        over = f"The comparison is inconclusive after {days:.1f} days: production stays and the candidate is kept."
        return Decision(Verdict.EXPIRE, (over, *blocks, *rule.reasons))
    if rule.verdict is Verdict.PROMOTE:
        return Decision(Verdict.HOLD, (*blocks, "Otherwise it would be promoted.", *rule.reasons))
    return _next(phase, step, paused, evidence, policy, rule)


def _broken(evidence: Evidence, policy: RolloutPolicy) -> tuple[str, ...]:
    """Why the candidate can't be left with users, if so."""
    reasons = []
    if evidence.candidate_problem:
        reasons.append(f"The candidate is unhealthy: {evidence.candidate_problem.rstrip('.')}.")
    for guardrail in evidence.guardrails:
        span = guardrail.span_seconds * policy.time_scale
        if guardrail.tripped and span >= policy.guardrails.sustained_seconds:
            reasons.append(f"{_told(guardrail, evidence)}, over {span:.0f} s.")
    return tuple(reasons)


def _sequential(evidence: Evidence, policy: RolloutPolicy) -> Opinion:
    """The confidence sequence of the rating difference against its limits."""
    found, raters = evidence.effect, evidence.candidate.raters
    if found is None:
        seen = f"{raters} users rated the candidate and {evidence.production.raters} production"
        return Opinion(Verdict.CONTINUE, (f"The ratings can't be compared yet: {seen}.",))
    words = _difference(found)
    if found.high < 0:
        if raters >= policy.min_rollback_raters:
            return Opinion(Verdict.ROLL_BACK, (words,))
        return Opinion(Verdict.CONTINUE, (words, f"A rollback needs {policy.min_rollback_raters} raters: {raters}."))
    least = policy.margin * found.production_mean
    if found.low <= least:
        asked = f"A promotion needs the whole range above {least:+.2f} stars."
        return Opinion(Verdict.CONTINUE, (words, asked))
    waits = []
    if raters < policy.min_promote_raters:
        waits.append(f"A promotion needs {policy.min_promote_raters} raters of the candidate, there are {raters}.")
    if evidence.hours < policy.min_hours:
        waits.append(f"A promotion needs {policy.min_hours:g} h of comparison, there are {evidence.hours:.1f}.")
    return Opinion(Verdict.CONTINUE if waits else Verdict.PROMOTE, (words, *waits))


def _threshold(evidence: Evidence, rule: ThresholdRule) -> Opinion:
    """The reference rule: the ratio of two scores against two constants, at whatever size of sample."""
    candidate, production = _score(evidence.candidate, rule), _score(evidence.production, rule)
    if candidate is None or production is None:
        least = f"{rule.min_requests} requests and {rule.min_ratings} ratings of each release"
        return Opinion(Verdict.CONTINUE, (f"The score needs {least}: {_seen(evidence)}.",))
    words = f"The candidate scores {candidate:.3f}, production {production:.3f} ({candidate / production:.3f}×)"
    if candidate > rule.promote_above * production:
        return Opinion(Verdict.PROMOTE, (f"{words}, above {rule.promote_above:g}×.",))
    if candidate < rule.roll_back_below * production:
        return Opinion(Verdict.ROLL_BACK, (f"{words}, below {rule.roll_back_below:g}×.",))
    return Opinion(Verdict.CONTINUE, (f"{words}, between {rule.roll_back_below:g}× and {rule.promote_above:g}×.",))


def _score(arm: Arm, rule: ThresholdRule) -> float | None:
    """0.7 · mean rating / 5 + 0.3 · max(0, (5000 - mean ms) / 5000), or None below the rule's minimum."""
    if arm.requests < rule.min_requests or arm.ratings < rule.min_ratings:
        return None
    if arm.mean_rating is None or arm.mean_ms is None:
        return None
    speed = max(0.0, (SLOWEST_MS - arm.mean_ms) / SLOWEST_MS)
    return RATING_WEIGHT * arm.mean_rating / STARS + (1 - RATING_WEIGHT) * speed


def _blocks(paused: bool, evidence: Evidence, policy: RolloutPolicy) -> tuple[str, ...]:
    """What stands in the way of a promotion. The reference rule knows neither mismatches nor e-values."""
    reasons = ["The rollout is paused."] if paused else []
    if evidence.drift_block:
        reasons.append(f"Drift blocks the promotion: {evidence.drift_block.rstrip('.')}.")
    if policy.policy == "sequential":
        reasons += _trouble(evidence, policy)
    return tuple(reasons)


def _trouble(evidence: Evidence, policy: RolloutPolicy) -> list[str]:
    """What makes the comparison or the candidate doubtful, without being enough for a rollback."""
    reasons = [
        f"{_told(guardrail, evidence)}, but over {guardrail.span_seconds * policy.time_scale:.0f} s only: "
        f"a rollback needs {policy.guardrails.sustained_seconds:g} s."
        for guardrail in evidence.guardrails
        if guardrail.tripped
    ]
    ratio = evidence.sample_ratio
    if ratio.p_value < policy.min_sample_ratio_p:
        told = f", told {ratio.expected_share:.1%} for the candidate" if ratio.expected_share is not None else ""
        seen = f"{ratio.candidate} users of the candidate and {ratio.production} of production in this step"
        reasons.append(f"Users aren't split as told (p = {ratio.p_value:.2g}): {seen}{told}.")
    return reasons


def _next(phase: Phase, step: int, paused: bool, evidence: Evidence, policy: RolloutPolicy, rule: Opinion) -> Decision:
    """What a look without a verdict leads to: the next step, waiting, or a reason why neither."""
    if paused:
        return Decision(Verdict.HOLD, ("The rollout is paused.", *rule.reasons))
    if not evidence.candidate.requests or not evidence.production.requests:
        return Decision(Verdict.HOLD, (f"There is no data to compare: {_seen(evidence)}.", *rule.reasons))
    if phase is not Phase.RAMP or evidence.step_hours < policy.step_hours:
        return Decision(Verdict.CONTINUE, rule.reasons)
    trouble = _trouble(evidence, policy)
    here = evidence.sample_ratio
    if min(here.candidate, here.production) < MIN_STEP_UNITS:
        seen = f"{here.candidate} users of the candidate and {here.production} of production"
        trouble.append(f"The step needs {MIN_STEP_UNITS} users of each release before the next: {seen}.")
    if trouble:
        return Decision(Verdict.HOLD, (*trouble, *rule.reasons))
    share = next_share(here.expected_share or 0.0, policy.steps)
    if share is None:
        return Decision(Verdict.CONTINUE, rule.reasons)
    passed = f"Step {step + 1} passed {evidence.step_hours:.1f} h without trouble: the share rises to {share:.0%}."
    return Decision(Verdict.ADVANCE, (passed, *rule.reasons))


def _difference(found: Effect) -> str:
    shown = f"({found.low:.2f} … {found.high:.2f} at every look), {found.raters} raters."
    if found.low > 0:
        return f"The candidate is better by {found.theta:.2f} stars {shown}"
    if found.high < 0:
        return f"The candidate is worse by {-found.theta:.2f} stars {shown}"
    return f"No difference is shown: {found.theta:+.2f} stars {shown}"


def _told(guardrail: Guardrail, evidence: Evidence) -> str:
    words = {"errors": "failed requests", "slow": "slow requests", "error_share": "share of failed requests"}
    what = words.get(guardrail.name, guardrail.name)
    slow = f" (above {evidence.slow_ms:.3g} ms)" if guardrail.name == "slow" and evidence.slow_ms else ""
    counts = f"{guardrail.candidate_bad} of the candidate beside {guardrail.production_bad} of production"
    value = f"e-value {guardrail.e_value:.3g}, limit {guardrail.limit:g}"
    return f"The guardrail on {what}{slow} tripped: {counts} ({value})"


def _seen(evidence: Evidence) -> str:
    c, p = evidence.candidate, evidence.production
    return (
        f"candidate {c.requests} requests, {c.ratings} ratings; production {p.requests} requests, {p.ratings} ratings"
    )
