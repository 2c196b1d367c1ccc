"""Simulated rollouts: how often and how soon a policy decides what, for a kind of traffic.

The verdict of every look comes from `decide`, as in a real rollout. Add a question that people ask before a rollout
here. Keep out how traffic is made (`simulated_traffic`) and how it is printed (`commands`). Imports numpy at once:
import this module where it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mlops_assets.rollout.decide import Verdict
from mlops_assets.rollout.policy import HOURS_PER_DAY, RolloutPolicy
from mlops_assets.rollout.simulated_rollouts import Batch
from mlops_assets.rollout.simulated_traffic import Source, World

FORECAST_EFFECTS = (-0.5, -0.3, -0.1, 0.0, 0.1, 0.3, 0.5)
FORECAST_RUNS = 100
MINUTE_HOURS = 1 / 60
# Runs of a batch, and the users of all of them together: bounds memory.
BATCH_RUNS = 1000
BATCH_RATERS = 500_000


@dataclass(frozen=True)
class Outcomes:
    """How simulated rollouts ended: a verdict each, None if time ran out before, and the hours it took."""

    verdicts: tuple[Verdict | None, ...]
    hours: tuple[float, ...]

    def share(self, verdict: Verdict) -> float:
        """The share of rollouts that ended so."""
        return self.verdicts.count(verdict) / len(self.verdicts)

    def hours_to(self, *verdicts: Verdict, quantile: float = 0.5) -> float | None:
        """The hours within which this share of those with such a verdict got it; None if nobody did."""
        needed = [h for v, h in zip(self.verdicts, self.hours, strict=True) if v in verdicts]
        return float(np.quantile(needed, quantile, method="inverted_cdf")) if needed else None


@dataclass(frozen=True)
class Forecast:
    """What to expect if `truth` holds: shares of rollouts, and the hours to a verdict (None: none is reached)."""

    truth: str
    promoted: float
    rolled_back: float
    undecided: float
    median_hours: float | None
    p90_hours: float | None


def simulate(
    policy: RolloutPolicy,
    world: World,
    *,
    runs: int,
    seed: int,
    look_hours: float = 1.0,
    max_hours: float | None = None,
    guarded: bool = True,
    stratified: bool = True,
    clustered: bool = True,
) -> Outcomes:
    """Let `runs` rollouts of one world go until each has a verdict, or for `max_hours`.

    `guarded=False` leaves guardrails and sample ratio out, as the reference rule has none. `stratified=False` pools
    all ratings and `clustered=False` takes them for independent: both are wrong, which is what they are for.
    """
    random = np.random.default_rng(seed)
    hours = max_hours if max_hours is not None else policy.max_days * HOURS_PER_DAY
    size = max(1, min(BATCH_RUNS, BATCH_RATERS // (Source(world, 1, random).users or 1)))
    verdicts: list[Verdict | None] = []
    ended: list[float] = []
    for first in range(0, runs, size):
        source = Source(world, min(size, runs - first), random)
        batch = Batch(policy.scaled(1), source, guarded, stratified, clustered)
        for look in range(max(1, round(hours / look_hours))):
            batch.look(look * look_hours, look_hours)
            if not batch.going:
                break
        verdicts += batch.verdicts
        ended += batch.hours
    return Outcomes(tuple(verdicts), tuple(ended))


def expected_time(
    policy: RolloutPolicy, requests_per_hour: float, rating_rate: float, effect: float, runs: int, seed: int
) -> Outcomes:
    """How rollouts of a candidate that is `effect` stars better end, with a look an hour."""
    return simulate(policy, World(requests_per_hour, rating_rate, effect), runs=runs, seed=seed)


def forecast(
    policy: RolloutPolicy,
    requests_per_hour: float,
    rating_rate: float,
    *,
    runs: int = FORECAST_RUNS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Forecast, ...]:
    """What a policy does with this traffic, for each of `FORECAST_EFFECTS` and a candidate that fails always.

    `progress(done, total)` is called after each.

    Raises:
        ValueError: no traffic, or a rating rate outside (0, 1].
    """
    if not requests_per_hour > 0:
        raise ValueError(f"requests_per_hour {requests_per_hour} must be above 0")
    if not 0 < rating_rate <= 1:
        raise ValueError(f"rating_rate {rating_rate} must be above 0 and at most 1")
    total = len(FORECAST_EFFECTS) + 1
    told = []
    for done, effect in enumerate(FORECAST_EFFECTS):
        outcomes = expected_time(policy, requests_per_hour, rating_rate, effect, runs, seed)
        name = "the same" if effect == 0 else f"{abs(effect):g} stars {'better' if effect > 0 else 'worse'}"
        told.append(_forecast(name, outcomes))
        progress(done + 1, total)
    failing = World(requests_per_hour, rating_rate, candidate_errors=1.0)
    look_hours = min(1.0, max(MINUTE_HOURS, 1 / (requests_per_hour * policy.steps[0])))
    told.append(_forecast("fails always", simulate(policy, failing, runs=runs, seed=seed, look_hours=look_hours)))
    progress(total, total)
    return tuple(told)


def _forecast(truth: str, outcomes: Outcomes) -> Forecast:
    decided = (Verdict.PROMOTE, Verdict.ROLL_BACK)
    undecided = sum(verdict not in decided for verdict in outcomes.verdicts) / len(outcomes.verdicts)
    median, p90 = (outcomes.hours_to(*decided, quantile=q) for q in (0.5, 0.9))
    promoted, rolled_back = (outcomes.share(verdict) for verdict in decided)
    return Forecast(truth, promoted, rolled_back, undecided, median, p90)
