"""What happens next in a rollout and when, and what each order by hand would do now: in words, for people.

Add a sentence here when a phase gets a new rule. Keep out the rules themselves (`rollout`): this only tells them, and
the ledger has the last word on every order. Times are UTC and real, the policy's are scaled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops_assets.rollout.facts import Evidence
from mlops_assets.rollout.ledger import State
from mlops_assets.rollout.phases import ACTIVE, Phase, next_share
from mlops_assets.rollout.policy import HOURS_PER_DAY, LOOK_HOURS, RolloutPolicy


@dataclass(frozen=True)
class Step:
    """Something that will happen; `at` None means as soon as what it waits for is there."""

    at: datetime | None
    what: str


@dataclass(frozen=True)
class Order:
    """What an order would do now, in words; or why it isn't possible."""

    possible: bool
    effect: str


def upcoming(state: State, policy: RolloutPolicy, evidence: Evidence | None, looked_at: datetime | None) -> list[Step]:
    """What happens next, soonest first."""
    steps: list[Step] = []
    if state.paused:
        steps.append(Step(None, "Paused: nothing but a rollback happens by itself until somebody resumes."))
    if state.drift_block and state.phase in ACTIVE:
        steps.append(Step(None, f"Drift blocks a promotion: {state.drift_block}."))
    if state.phase is Phase.SHADOW:
        steps.append(Step(None, f"As soon as it is loaded, the candidate gets {policy.steps[0]:.0%} of the users."))
        limit = _later(state.phase_at, policy.load_minutes / 60, policy)
        steps.append(Step(limit, "Withdrawn if it isn't loaded until then."))
    elif state.comparing:
        steps += _comparing(state, policy, evidence, looked_at)
    elif state.phase is Phase.PROMOTING:
        steps.append(Step(None, f"As soon as its service holds release {state.production}, the watch begins."))
    elif state.phase is Phase.WATCH:
        end = _later(state.phase_at, policy.watch_hours, policy)
        steps.append(Step(end, f"The watch ends and release {state.production} is settled."))
    elif state.production is None:
        steps.append(Step(None, "The first release that passes its gates becomes production at once."))
    else:
        steps.append(Step(None, "The next release that passes its gates becomes the candidate of a new rollout."))
    return sorted(steps, key=lambda step: (step.at is not None, step.at.timestamp() if step.at else 0.0))


def _comparing(
    state: State, policy: RolloutPolicy, evidence: Evidence | None, looked_at: datetime | None
) -> list[Step]:
    steps = [Step(_later(looked_at or state.started_at, LOOK_HOURS, policy), "Next look at the evidence.")]
    share = next_share(state.candidate_share, policy.steps)
    if share is not None:
        rises = f"The share rises to {share:.0%} if nothing is wrong."
        steps.append(Step(_later(state.step_at, policy.step_hours, policy), rises))
    raters = evidence.candidate.raters if evidence is not None else 0
    needed = policy.min_promote_raters
    if policy.policy == "sequential":
        missing = f" It needs {needed} raters of the candidate, there are {raters}." if raters < needed else ""
        earliest = _later(state.started_at, policy.min_hours, policy)
        steps.append(Step(earliest, f"From here on a promotion waits for the evidence alone.{missing}"))
    expiry = _later(state.started_at, policy.max_days * HOURS_PER_DAY, policy)
    steps.append(Step(expiry, "Without a verdict until then, production stays and the candidate is kept unused."))
    return steps


def _later(since: datetime | None, hours: float, policy: RolloutPolicy) -> datetime | None:
    return None if since is None else since + timedelta(hours=hours / policy.time_scale)


def orders(state: State, policy: RolloutPolicy, labels: Mapping[int, Sequence[str]]) -> dict[str, Order]:
    """What each order by hand would do from this state."""
    return {
        "pause": _pause(state),
        "resume": _resume(state),
        "share": _share(state, policy),
        "promote": _promote(state, labels),
        "rollback": _rollback(state, labels),
    }


def named(version: int | None, labels: Mapping[int, Sequence[str]]) -> str:
    """ "release 3 (CO2, BO2)"."""
    if version is None:
        return "no release"
    given = ", ".join(labels.get(version, ()))
    return f"release {version} ({given})" if given else f"release {version}"


def _pause(state: State) -> Order:
    if state.production is None:
        return Order(False, "Nothing is served yet.")
    if state.paused:
        return Order(False, "It is paused already.")
    return Order(
        True,
        "Shares stay as they are. Looks go on and are recorded, but nothing except a rollback happens by itself "
        "until somebody resumes.",
    )


def _resume(state: State) -> Order:
    if not state.paused:
        return Order(False, "It isn't paused.")
    return Order(True, "Looks may decide again, from the evidence so far; the next one may already promote.")


def _share(state: State, policy: RolloutPolicy) -> Order:
    if not state.comparing:
        return Order(False, "No candidate serves users.")
    more = next_share(state.candidate_share, policy.steps) is not None
    after = " Steps of the policy above the share you set still follow by themselves." if more else ""
    return Order(
        True,
        f"The candidate serves {state.candidate_share:.0%} of the users now. Raising the share moves nobody back "
        f"to production.{after}",
    )


def _promote(state: State, labels: Mapping[int, Sequence[str]]) -> Order:
    if state.production is None:
        return Order(False, "No release is published yet.")
    chosen = named(state.candidate, labels) if state.candidate is not None else "the chosen release"
    words = f"{_capital(chosen)} becomes production for everybody, without waiting for a verdict. "
    return Order(
        True,
        f"{words}{_capital(named(state.production, labels))} stays loaded during the watch, "
        "so that going back takes a second.",
    )


def _rollback(state: State, labels: Mapping[int, Sequence[str]]) -> Order:
    stays = named(state.production, labels)
    if state.candidate is not None:
        return Order(
            True,
            f"{_capital(named(state.candidate, labels))} is withdrawn: its users go back to {stays} at once. "
            "It is kept and can be promoted by hand later; a new training may follow by itself.",
        )
    if state.previous is None:
        return Order(False, "There is no candidate and no earlier production to go back to.")
    return Order(
        True,
        f"{_capital(named(state.previous, labels))} becomes production again and {stays} is withdrawn, at once. "
        "A new training may follow by itself.",
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
