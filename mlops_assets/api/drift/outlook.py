"""What follows from the newest verdicts, in words for people: the block of promotions, training by itself.

Add a sentence here when an effect of drift gets a new rule. Keep out the rules themselves (`drift.effects`,
`drift.retraining`): this asks them what a few more days would change. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from mlops_assets.drift.effects import ruling
from mlops_assets.drift.facts import Status
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.retraining import Seen
from mlops_assets.drift.store import Judged
from mlops_assets.rollout.state import State

FIRST_VERDICT = "The first verdict comes after the first full UTC day with requests."


def upcoming(state: State, newest_first: Sequence[Judged], policy: DriftPolicy, training: Seen | None) -> list[str]:
    """What follows, in `state`, from the newest days that are ok or drifted. `training` is what its rule says now."""
    if state.production is None:
        return ["Nothing is served yet, so there is nothing to compare."]
    if not newest_first:
        return [*([_blocked(state.drift_block)] if state.drift_block else []), FIRST_VERDICT]
    told = [_lifting(state, newest_first, policy) if state.drift_block else _blocking(state, newest_first, policy)]
    if training is not None:
        word = "Training starts by itself" if training.run_key else "No training by itself now"
        told.append(f"{word}: {training.said.rstrip('.')}.")
    return told


def _blocked(why: str) -> str:
    return f"Promotions are blocked: {why.rstrip('.')}."


def _lifting(state: State, newest_first: Sequence[Judged], policy: DriftPolicy) -> str:
    why, needed = _blocked(state.drift_block or ""), _until(state, newest_first, policy, blocks=False)
    if needed == 0:
        return f"{why} The newest days no longer say so: the block is lifted within a minute."
    ends = "lifts" if needed == 1 else "lift"
    return (
        f"{why} {_days(needed, 'more')} without drift {ends} it, and so does a candidate trained on data like today's."
    )


def _blocking(state: State, newest_first: Sequence[Judged], policy: DriftPolicy) -> str:
    needed = _until(state, newest_first, policy, blocks=True)
    if needed == 0:
        return f"Promotions are blocked within a minute: {ruling(newest_first, state, policy).said}."
    blocks = f"{_days(needed, 'more drifted')} {'blocks' if needed == 1 else 'block'} promotions"
    at_once = f"one column at {policy.block_strength:g} times its limit does so at once"
    return f"Promotions are not blocked. {blocks} ({policy.block_days} of {policy.block_of} count); {at_once}."


def _until(state: State, newest_first: Sequence[Judged], policy: DriftPolicy, *, blocks: bool) -> int:
    """How many more days, all drifted or all without drift, until they block or no longer do."""
    days = list(newest_first)
    status, strength = (Status.DRIFTED, 1.0) if blocks else (Status.OK, 0.0)
    for needed in range(policy.block_of + 1):
        if (ruling(days, state, policy).why is not None) is blocks:
            return needed
        after = replace(
            days[0], day=days[0].day + timedelta(1), release=state.production or 0, status=status, strength=strength,
            candidate_release=None, candidate_status=None,
        )  # fmt: skip
        days.insert(0, after)
    return policy.block_of + 1


def _days(number: int, kind: str) -> str:
    return f"{number} {kind} {'day' if number == 1 else 'days'}"
