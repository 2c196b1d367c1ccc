"""The rating difference: its width is the published one, its strata and clusters count, order and names don't."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.rollout.confidence import effect, half_width
from mlops_assets.rollout.facts import Effect

Ratings = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
TERMS = {"alpha": 0.05, "expected_raters": 500}


def made(seed: int, count: int = 400, users: int = 150, strata: int = 6, share: float = 0.3) -> Ratings:
    """arm, stratum, user, value of `count` ratings; users may rate often and in both arms."""
    random = np.random.default_rng(seed)
    arm = random.random(count) < share
    return arm, random.integers(0, strata, count), random.integers(0, users, count), random.integers(1, 6, count) + 0.0


def compared(ratings: Ratings) -> Effect:
    found = effect(*ratings, **TERMS)
    assert found is not None
    return found


def same(one: Effect, other: Effect) -> None:
    for name in ("theta", "se", "half", "production_mean"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=1e-12), name
    assert one.raters == other.raters


def with_moments(count: int, mean: float, sd: float) -> np.ndarray:
    """Two values, half of the ratings each, that have exactly this mean and sample standard deviation."""
    return mean + sd * math.sqrt((count - 1) / count) * np.tile([-1.0, 1.0], count // 2)


def test_the_width_is_that_of_the_published_implementation_to_the_last_digit() -> None:
    se = math.sqrt(1.1**2 / 400 + 1.0**2 / 100)
    theta = 4.20 - 3.90
    half = half_width(se, 500, 500, 0.05)
    assert theta - half == -0.04639966705926862
    assert theta + half == pytest.approx(0.6463996670592691, rel=1e-15)


def test_one_stratum_of_single_ratings_gives_the_same_interval_within_its_pooled_variance() -> None:
    value = np.concatenate([with_moments(400, 3.90, 1.10), with_moments(100, 4.20, 1.00)])
    arm = np.arange(500) >= 400
    found = compared((arm, np.zeros(500, int), np.arange(500), value))
    assert found.theta == pytest.approx(0.3)
    assert found.production_mean == pytest.approx(3.9)
    pooled = math.sqrt((399 * 1.1**2 + 99 * 1.0**2) / 498 * (1 / 400 + 1 / 100))
    assert found.se == pytest.approx(pooled)
    assert found.low == pytest.approx(0.3 - half_width(pooled, 500, 500, 0.05))


def reference(ratings: Ratings) -> tuple[float, float, float, int]:
    """theta, clustered and pooled standard error, raters: the formulas rating by rating, in plain Python."""
    rows = list(zip(*(column.tolist() for column in ratings), strict=True))
    strata = sorted({row[1] for row in rows})
    of = {(k, a): [v for arm, s, _, v in rows if s == k and arm == a] for k in strata for a in (True, False)}
    weight = {k: len(of[k, True]) * len(of[k, False]) / len(of[k, True] + of[k, False]) for k in strata}
    total = sum(weight.values())
    mean = {key: sum(values) / len(values) if values else 0.0 for key, values in of.items()}
    theta = sum(weight[k] * (mean[k, True] - mean[k, False]) for k in strata) / total
    psi: dict[int, float] = {}
    for arm, k, user, value in rows:
        if weight[k]:
            sign = 1 if arm else -1
            pull = weight[k] / total * sign * (value - mean[k, arm]) / len(of[k, arm])
            psi[user] = psi.get(user, 0.0) + pull
    clustered = len(psi) / (len(psi) - 1) * sum(p * p for p in psi.values())
    counted = [k for k in strata if weight[k]]
    squares = sum((v - mean[k, a]) ** 2 for k in counted for a in (True, False) for v in of[k, a])
    freedom = sum(len(of[k, a]) - 1 for k in counted for a in (True, False))
    return theta, math.sqrt(clustered), math.sqrt(squares / freedom / total), len(psi)


@pytest.mark.parametrize("seed", range(5))
def test_the_effect_is_that_of_the_formulas_rating_by_rating(seed: int) -> None:
    ratings = made(seed, count=300, users=40, strata=12, share=0.2)
    theta, clustered, pooled, raters = reference(ratings)
    found = compared(ratings)
    assert found.theta == pytest.approx(theta)
    assert found.se == pytest.approx(max(clustered, pooled))
    assert found.raters == raters


def test_ratings_that_users_repeat_are_not_taken_for_new_evidence() -> None:
    arm, stratum, _, value = made(1, count=200, strata=1)
    once = compared((arm, stratum, np.arange(200), value))
    many = tuple(np.tile(column, 10) for column in (arm, stratum, np.arange(200), value))
    assert compared(many).se == pytest.approx(once.se, rel=0.02)
    independent = compared((*many[:2], np.arange(2000), many[3]))
    assert independent.se < 0.4 * once.se


def test_a_stratum_that_one_arm_rated_counts_nowhere() -> None:
    arm, stratum, user, value = made(2)
    extra = np.full(30, 99)
    more = (
        np.concatenate([arm, np.zeros(30, bool)]),
        np.concatenate([stratum, extra]),
        np.concatenate([user, 1000 + np.arange(30)]),
        np.concatenate([value, np.ones(30)]),
    )
    same(compared(more), compared((arm, stratum, user, value)))


def test_a_mean_that_drifts_while_the_share_rises_is_no_effect_within_strata() -> None:
    days = np.repeat(np.arange(10), 100)
    arm = np.tile(np.arange(100), 10) < 4 * (days + 1)
    value = 4.5 - 0.2 * days + np.tile([-0.5, 0.5], 500)
    users = np.arange(1000)
    assert compared((arm, days, users, value)).theta == pytest.approx(0.0, abs=1e-12)
    pooled = compared((arm, np.zeros(1000, int), users, value))
    assert pooled.high < 0


@pytest.mark.parametrize(
    "ratings",
    [
        (np.array([], bool), np.array([]), np.array([]), np.array([])),
        (np.ones(40, bool), np.zeros(40), np.arange(40), np.tile([1.0, 5.0], 20)),
        (np.arange(40) < 1, np.zeros(40), np.arange(40), np.tile([1.0, 5.0], 20)),
        (np.arange(40) < 20, np.zeros(40), np.arange(40) // 20, np.tile([1.0, 5.0], 20)),
        (np.arange(40) < 20, np.arange(40) // 20, np.arange(40), np.tile([1.0, 5.0], 20)),
        (np.arange(40) < 20, np.arange(40) % 20, np.arange(40), np.tile([1.0, 5.0], 20)),
        (np.arange(40) < 20, np.zeros(40), np.arange(40), np.full(40, 4.0)),
    ],
    ids=["none", "one arm", "one rating", "a rater an arm", "no stratum with both", "one each", "all the same"],
)
def test_nothing_is_said_where_nothing_can_be(ratings: Ratings) -> None:
    assert effect(*ratings, **TERMS) is None


def test_arms_without_spread_are_told_apart_with_a_width() -> None:
    arm = np.arange(100) < 20
    found = compared((arm, np.zeros(100), np.arange(100), np.where(arm, 1.0, 5.0)))
    assert found.theta == -4
    assert found.half > 0.5
    assert found.high < 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_rating_that_is_no_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="value"):
        effect(np.array([True, False]), np.zeros(2), np.arange(2), np.array([4.0, bad]), **TERMS)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="user 3"):
        effect(np.array([True, False]), np.zeros(2), np.arange(3), np.ones(2), **TERMS)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.randoms(use_true_random=False))
def test_order_and_names_change_nothing_and_swapped_arms_change_the_sign(seed: int, strata: int, shuffled: Any) -> None:
    arm, stratum, user, value = made(seed, count=120, users=50, strata=strata)
    found = compared((arm, stratum, user, value))
    order = list(range(120))
    shuffled.shuffle(order)
    same(compared((arm[order], stratum[order], user[order], value[order])), found)
    names = np.array([f"u{(u * 7919) % 104729}" for u in user])
    same(compared((arm, 1000 - 3 * stratum, names, value)), found)
    swapped = compared((~arm, stratum, user, value))
    assert swapped.theta == pytest.approx(-found.theta)
    assert swapped.se == pytest.approx(found.se)
    moved = compared((arm, stratum, user, 2 * value + 7))
    assert moved.theta == pytest.approx(2 * found.theta)
    assert moved.half == pytest.approx(2 * found.half)


@given(st.floats(0.01, 2), st.integers(2, 10**6), st.floats(10, 10**5), st.floats(0.001, 0.4))
def test_the_width_exceeds_a_fixed_sample_interval_and_shrinks_with_confidence_given_up(
    se: float, units: int, expected: float, alpha: float
) -> None:
    half = half_width(se, units, expected, alpha)
    assert half > se * math.sqrt(-2 * math.log(alpha))
    assert half_width(se, units, expected, alpha / 2) > half


def test_half_a_million_ratings_fit_in_little_memory() -> None:
    ratings = made(3, count=500_000, users=100_000, strata=20)
    tracemalloc.start()
    compared(ratings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6
