"""The sample ratio: a wrong split is found, a right one isn't called wrong at any look of any step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlops_assets.rollout.sample_ratio import StepUnits, log_e_value, sample_ratio


def test_a_split_as_told_is_no_mismatch_and_a_wrong_one_is() -> None:
    fine = sample_ratio([StepUnits(0, 0.2, 8000, 2000)], 0)
    assert fine.p_value == 1
    assert (fine.expected_share, fine.production, fine.candidate) == (0.2, 8000, 2000)
    assert sample_ratio([StepUnits(0, 0.2, 7500, 2500)], 0).p_value < 1e-6
    assert sample_ratio([StepUnits(0, 0.2, 8500, 1500)], 0).p_value < 1e-6


def test_the_p_value_of_a_hopeless_split_is_still_above_zero() -> None:
    assert 0 < sample_ratio([StepUnits(0, 0.2, 0, 100_000)], 0).p_value < 1e-200


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
def test_the_mean_of_the_martingale_is_one(share: float) -> None:
    n = 60
    chances = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    assert sum(c * math.exp(log_e_value(share, n - k, k)) for k, c in enumerate(chances)) == pytest.approx(1)


def smallest_p(bucket: np.ndarray) -> float:
    """Over looks at the same users, who come back at 5, 20 and 50 %: the steps depend on one another."""
    past: list[StepUnits] = []
    smallest = 1.0
    for step, share in enumerate((0.05, 0.2, 0.5)):
        for seen in (100, 300, 1000, 3000):
            candidate = int((bucket[:seen] < share).sum())
            present = StepUnits(step, share, seen - candidate, candidate)
            smallest = min(smallest, sample_ratio([*past, present], step, planned=3).p_value)
        past.append(present)
    return smallest


def test_users_who_come_back_at_each_step_raise_alarms_as_rarely_as_promised() -> None:
    random = np.random.default_rng(5)
    alarms = sum(smallest_p(random.random(3000)) < 0.05 for _ in range(400))
    assert alarms <= 400 * 0.05


def test_a_mismatch_of_an_earlier_step_is_not_forgotten() -> None:
    assert sample_ratio([StepUnits(0, 0.05, 900, 300), StepUnits(1, 0.2, 800, 200)], 1).p_value < 1e-6


def test_a_step_without_users_has_no_units() -> None:
    ratio = sample_ratio([StepUnits(0, 0.05, 950, 50)], 1)
    assert (ratio.production, ratio.candidate, ratio.expected_share) == (0, 0, None)
    assert sample_ratio([], 0).p_value == 1


@pytest.mark.parametrize(
    ("units", "named"),
    [
        ([StepUnits(0, 0.2, 1, 1), StepUnits(0, 0.2, 1, 1)], "twice"),
        ([StepUnits(0, 1.0, 1, 1)], "share 1.0"),
    ],
)
def test_a_step_given_twice_and_a_share_of_everything_are_refused(units: list[StepUnits], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        sample_ratio(units, 0)
