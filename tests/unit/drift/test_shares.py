"""Shares that must not rise: what the reference lets one expect, both keys, and examples."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mlops_assets.drift import shares
from mlops_assets.drift.values import Categories, CategoryPair, NumberPair, Numbers

ALPHA, LIMIT = 0.0002, 0.05


def numbers(
    before: list[float] | np.ndarray, now: list[float] | np.ndarray, rows: tuple[int, int] = (0, 0)
) -> NumberPair:
    sides = (np.sort(np.asarray(side, dtype=np.float64)) for side in (before, now))
    return NumberPair(*(Numbers(max(all_rows, len(side)), side) for side, all_rows in zip(sides, rows, strict=True)))


def categories(before: dict[str, int], now: dict[str, int]) -> CategoryPair:
    return CategoryPair(*(Categories(sum(side.values()), Counter(side)) for side in (before, now)))


def test_missing_values_that_rise_are_found_and_a_falling_share_is_not() -> None:
    ones = np.ones
    rise = shares.missing(numbers(ones(980), ones(150), (1000, 200)), LIMIT, ALPHA, counts=True)
    assert (rise.expected, rise.seen) == (pytest.approx(0.02), 0.25)
    assert rise.risen
    assert shares.strength(rise) == pytest.approx(0.23 / 0.05)
    fall = shares.missing(numbers(ones(500), ones(195), (1000, 200)), LIMIT, ALPHA, counts=True)
    assert not fall.risen
    assert shares.strength(fall) == 0


def test_a_rise_must_be_large_and_sure() -> None:
    ones = np.ones
    sure_but_small = shares.missing(numbers(ones(20_000), ones(19_600), (20_000, 20_000)), LIMIT, ALPHA, counts=True)
    assert sure_but_small.p_value < 1e-9
    assert not sure_but_small.risen
    large_by_chance = shares.missing(numbers(ones(600), ones(108), (1000, 200)), LIMIT, ALPHA, counts=True)
    assert large_by_chance.seen - large_by_chance.expected >= LIMIT
    assert not large_by_chance.risen


def test_missing_values_of_an_optional_column_are_shown_only() -> None:
    pair = numbers(np.ones(1000), np.ones(10), (1000, 500))
    rise = shares.missing(pair, LIMIT, ALPHA, counts=False)
    assert (rise.seen, rise.risen) == (0.98, False)


def test_new_categories_are_expected_as_often_as_single_ones() -> None:
    before = {f"once {n}": 1 for n in range(100)} | {"usual": 900}
    calm = shares.unseen(categories(before, {"usual": 180} | {f"new {n}": 1 for n in range(20)}), LIMIT, ALPHA)
    assert calm.expected == pytest.approx(0.1)
    assert calm.seen == pytest.approx(0.1)
    assert not calm.risen
    risen = shares.unseen(categories(before, {"usual": 120, "Alpha": 50, "Beta": 30}), LIMIT, ALPHA)
    assert risen.risen
    assert risen.examples == ("Alpha", "Beta")


def test_new_categories_of_a_column_whose_values_are_all_different_are_usual() -> None:
    rise = shares.unseen(categories({f"a{n}": 1 for n in range(500)}, {f"b{n}": 1 for n in range(300)}), LIMIT, ALPHA)
    assert (rise.expected, rise.seen, rise.risen) == (1.0, 1.0, False)


@pytest.mark.parametrize(("rows", "levels"), [((500, 500), 2000), ((5000, 200), 3000), ((1000, 1000), 300)])
def test_unseen_categories_cry_no_wolf(rows: tuple[int, int], levels: int) -> None:
    """p-values of days without a change fall below 5 % in about that share of days."""
    rng = np.random.default_rng(3)
    low = 0
    for _ in range(300):
        sides = (Counter(str(n) for n in rng.integers(0, levels, size)) for size in rows)
        low += shares.unseen(categories(*sides), LIMIT, ALPHA).p_value < 0.05
    assert low <= 0.09 * 300


def test_numbers_beyond_the_range_are_found_with_the_furthest_as_examples() -> None:
    before = np.linspace(300, 9200, 1000)
    rise = shares.out_of_range(numbers(before, [5000.0] * 190 + [12_000.0] * 9 + [5.0]), 0.02, ALPHA)
    assert rise.risen
    assert rise.seen == pytest.approx(0.05)
    assert rise.expected == pytest.approx(2 / 1001)
    assert rise.examples == ("5", "12,000")


def test_one_number_beyond_the_range_is_never_a_rise() -> None:
    before = np.linspace(0, 1, 100_000)
    rise = shares.out_of_range(numbers(before, [0.5] * 19 + [1e4]), 0.02, 0.01)
    assert rise.seen == 0.05
    assert rise.p_value < 0.01
    assert not rise.risen


def test_a_range_that_is_met_by_chance_has_an_exact_p_value() -> None:
    """Beyond the largest of n numbers are m of m with probability n! m! / (n + m)!."""
    rise = shares.out_of_range(numbers([1.0, 2.0, 3.0], [4.0, 5.0]), 0.02, ALPHA, growth_only=True)
    assert rise.p_value == pytest.approx(1 / 10)


def test_errors_below_the_range_are_welcome() -> None:
    before, now = np.linspace(0.1, 0.5, 500), np.full(300, 0.01)
    rise = shares.out_of_range(numbers(before, now), 0.02, ALPHA, growth_only=True)
    assert (rise.seen, rise.risen) == (0.0, False)
    assert shares.out_of_range(numbers(before, now), 0.02, ALPHA).risen
