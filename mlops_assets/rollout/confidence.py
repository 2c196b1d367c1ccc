"""How much better the candidate is rated than production, with a confidence sequence that holds at every look.

The difference is stratified by (ramp step, UTC day), its variance clustered by user; the width is that of an
asymptotic confidence sequence (arXiv 2103.06476). Add another estimate of a difference of means here. Keep out
where ratings come from (`evidence`) and what follows from the difference (`decide`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlops_assets.rollout.facts import Effect

if TYPE_CHECKING:
    import numpy as np

MIN_RATERS = 2  # in each arm: one rating has no spread
NO_SPREAD = 1e-12  # of the mean square: what rounding leaves of a variance of zero


def half_width(se: float, units: float, expected_raters: float, alpha: float) -> float:
    """Half the width of the sequence for a standard error `se` over `units` distinct raters of both arms.

    It is tightest, relative to a fixed sample, near `expected_raters`.
    """
    spread = -2 * math.log(alpha)
    rho2 = (spread + math.log(spread + 1)) / expected_raters
    grown = units * rho2 + 1
    return se * math.sqrt(units) * math.sqrt(2 * grown / (units**2 * rho2) * math.log(math.sqrt(grown) / alpha))


def effect(
    arm: np.ndarray,
    stratum: np.ndarray,
    user: np.ndarray,
    value: np.ndarray,
    *,
    alpha: float,
    expected_raters: float,
) -> Effect | None:
    """The effect of `value` (n,), one row a rating; `arm` (n,) is true for the candidate.

    `stratum` and `user` (n,) are codes of any sortable kind, integers are fastest. A stratum that only one arm
    rated has weight 0 and its ratings count nowhere. The standard error is the larger of the one clustered by
    user and the pooled one within strata, because few ratings in a stratum make the first too small.

    None while nothing can be said: fewer than two raters in either arm, no two ratings in any group, or every
    rating of a stratum the same. If each arm gives one rating only, but a different one, the spread is taken
    about the mean of both arms, as if they were equal: then a width of 0 never claims certainty.

    Raises:
        ValueError: arrays of different lengths, or a value that isn't finite.
    """
    import numpy as np

    arm, stratum, user = np.asarray(arm, dtype=bool), np.asarray(stratum), np.asarray(user)
    value = np.asarray(value, dtype=float)
    if not len(arm) == len(stratum) == len(user) == len(value):
        raise ValueError(
            f"arm {len(arm)}, stratum {len(stratum)}, user {len(user)}, value {len(value)}: not one length"
        )
    if not np.isfinite(value).all():
        raise ValueError("value: a rating isn't a finite number")
    if not len(value):
        return None
    strata, code = np.unique(stratum, return_inverse=True)
    counts = np.bincount(2 * code + arm, minlength=2 * len(strata)).reshape(-1, 2)
    both = counts.min(axis=1) > 0
    if not both.all():
        counted = both[code]
        arm, user, value = arm[counted], user[counted], value[counted]
        code = (np.cumsum(both) - 1)[code[counted]]
        counts = counts[both]
    users, person = np.unique(user, return_inverse=True)
    if min(len(np.unique(person[arm])), len(np.unique(person[~arm]))) < MIN_RATERS:
        return None

    group = 2 * code + arm
    means = np.bincount(group, value).reshape(-1, 2) / counts
    weights = counts.prod(axis=1) / counts.sum(axis=1)
    total = float(weights.sum())
    production = float(weights @ means[:, 0]) / total
    theta = float(weights @ (means[:, 1] - means[:, 0])) / total

    residual = value - means.ravel()[group]
    pull = (weights / total)[:, None] / counts * np.array([-1.0, 1.0])
    psi = np.bincount(person, pull.ravel()[group] * residual)
    units = len(users)
    clustered = units / (units - 1) * float(psi @ psi)
    freedom = len(value) - counts.size
    squares = float(residual @ residual)
    if squares <= NO_SPREAD * float(value @ value):
        middle = np.bincount(code, value) / counts.sum(axis=1)
        residual = value - middle[code]
        squares, freedom = float(residual @ residual), len(value) - len(counts)
        if squares <= NO_SPREAD * float(value @ value):
            return None
    if freedom < 1:
        return None
    se = math.sqrt(max(clustered, squares / freedom / total))
    return Effect(theta, se, half_width(se, units, expected_raters, alpha), units, production)
