"""Whether users were split as told: a test that may be looked at any time.

A mismatch means that the arms aren't comparable, whatever their ratings say. Keep out how units are counted
(`evidence`) and what a mismatch stops (`decide`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.rollout.facts import SampleRatio

PRIOR_UNITS = 200.0  # how narrowly the alternatives lie about the told share; finds 20 % told as 25 % in ~1,500 units
LOG_CAP = math.log(1e300)


@dataclass(frozen=True)
class StepUnits:
    """Units first seen in one ramp step, by arm, and the share that the gateway was told for the candidate.

    A unit is a distinct user, or a request without one. Shares set by hand are steps of their own.
    """

    step: int
    share: float
    production: int
    candidate: int


def log_e_value(share: float, production: int, candidate: int) -> float:
    """Log of the beta-binomial mixture martingale against `share`; its mean is 1 while the split is as told."""
    a, b = PRIOR_UNITS * share, PRIOR_UNITS * (1 - share)
    mixture = _log_beta(a + candidate, b + production) - _log_beta(a, b)
    return mixture - candidate * math.log(share) - production * math.log1p(-share)


def sample_ratio(units: Sequence[StepUnits], step: int, planned: int = 1) -> SampleRatio:
    """The p-value over all steps, with the share and the units of the present `step`.

    A user who comes back keeps the arm, so the counts of two steps depend on one another and their e-values must
    not be multiplied. The smallest p-value times the number of steps (`planned`, or what there is) holds anyway.

    Raises:
        ValueError: two entries of one step, or a share outside (0, 1).
    """
    if len({u.step for u in units}) != len(units):
        raise ValueError("units: a step is given twice")
    for unit in units:
        if not 0 < unit.share < 1:
            raise ValueError(f"share {unit.share} of step {unit.step} must be between 0 and 1")
    largest = max((log_e_value(u.share, u.production, u.candidate) for u in units), default=0.0)
    p_value = min(1.0, max(planned, len(units)) * math.exp(-min(largest, LOG_CAP)))
    present = next((u for u in units if u.step == step), None)
    if present is None:
        return SampleRatio(p_value)
    return SampleRatio(p_value, present.share, present.production, present.candidate)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
