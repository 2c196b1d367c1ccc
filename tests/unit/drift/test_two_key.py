"""Both keys of a column: how they answer to shifts, sizes, outliers, rare categories and constants."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mlops_assets.drift.two_key import beyond_chance, compare, growth
from mlops_assets.drift.values import Categories, CategoryPair, NumberPair, Numbers


def numbers(before: np.ndarray, now: np.ndarray) -> NumberPair:
    return NumberPair(*(Numbers(len(side), np.sort(np.asarray(side, dtype=np.float64))) for side in (before, now)))


def categories(before: dict[str, int], now: dict[str, int]) -> CategoryPair:
    return CategoryPair(*(Categories(sum(side.values()), Counter(side)) for side in (before, now)))


def normal(rows: int, *, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def test_a_shift_is_measured_in_standard_deviations_of_the_reference() -> None:
    found = compare(numbers(10 * normal(20_000), 10 * normal(20_000, seed=1, mean=0.5)))
    assert found.distance == "wasserstein"
    assert found.effect == pytest.approx(0.5, abs=0.03)
    assert found.p_value < 1e-9


def test_the_unit_does_not_matter() -> None:
    before, now = normal(1000), normal(500, seed=1, mean=0.3)
    assert compare(numbers(1000 * before, 1000 * now)).effect == pytest.approx(compare(numbers(before, now)).effect)


def test_no_shift_is_neither_sure_nor_large() -> None:
    found = compare(numbers(normal(5000), normal(5000, seed=1)))
    assert found.p_value > 0.01
    assert found.effect < 0.05


@pytest.mark.parametrize("rows", [500, 501, 1000, 5000])
@pytest.mark.parametrize("outlier", [1e4, -1e4, 1e9])
@pytest.mark.parametrize("side", ["reference", "current", "both"])
def test_an_outlier_neither_hides_a_shift_nor_fakes_one(rows: int, outlier: float, side: str) -> None:
    for mean, low, high in ((0.5, 0.35, 0.65), (0.0, 0.0, 0.15)):
        before, now = normal(rows), normal(500, seed=1, mean=mean)
        if side != "current":
            before[0] = outlier
        if side != "reference":
            now[0] = outlier
        found = compare(numbers(before, now))
        assert low <= found.effect <= high
        assert (found.p_value < 1e-6) == (mean > 0)


def test_an_error_that_falls_is_no_change_and_one_that_grows_is() -> None:
    before, better, worse = (np.abs(normal(2000, seed=seed)) * scale for seed, scale in ((0, 1), (1, 0.5), (2, 1.5)))
    fell = compare(numbers(before, better), growth_only=True)
    assert fell.effect == 0
    assert fell.p_value > 0.5
    grown = compare(numbers(before, worse), growth_only=True)
    assert grown.effect > 0.3
    assert grown.p_value < 1e-9
    assert compare(numbers(before, better)).effect > 0.3


def test_numbers_that_are_all_alike_are_compared_by_how_many_differ() -> None:
    same = compare(numbers(np.full(1000, 3.0), np.full(300, 3.0)))
    assert (same.distance, same.effect, same.p_value) == ("total_variation", 0.0, 1.0)
    other = compare(numbers(np.full(1000, 3.0), np.repeat([3.0, 4.0], [240, 60])))
    assert other.effect == pytest.approx(0.2, abs=0.02)
    assert other.p_value < 1e-9
    all_other = compare(numbers(np.full(1000, 3.0), np.full(300, 4.0)))
    assert all_other.effect == pytest.approx(1.0)


def test_few_exceptions_from_a_constant_do_not_hide_a_new_constant() -> None:
    before = np.ones(10_000)
    before[:5] = 50
    found = compare(numbers(before, np.full(300, 2.0)))
    assert found.effect > 0.9
    assert found.p_value < 1e-9


def test_a_constant_error_that_falls_is_no_change() -> None:
    found = compare(numbers(np.full(1000, 0.2), np.full(300, 0.1)), growth_only=True)
    assert (found.effect, found.p_value) == (0.0, 1.0)


def test_numbers_that_differ_by_less_than_a_square_can_hold_do_not_crash() -> None:
    tiny = np.where(np.arange(1000) % 2, 1e-200, 2e-200)
    assert compare(numbers(tiny, tiny)).effect == 0


@pytest.mark.parametrize("levels", [2, 6, 200])
def test_a_category_that_grows_by_a_fifth_is_that_far_away(levels: int) -> None:
    before = {f"l{n}": 20_000 // levels for n in range(levels)}
    now = {name: round(count * 0.8) for name, count in before.items()}
    now["l0"] += 4000
    found = compare(categories(before, now))
    expected = 0.2 * (1 - 1 / levels)
    assert found.effect == pytest.approx(expected, abs=0.02)
    assert found.p_value < 1e-9


def test_a_rare_category_that_grows_is_found_whatever_the_sizes() -> None:
    """20 of 20,000 against 60 of 200: chi-square alone would expect one and leave it out."""
    found = compare(categories({"usual": 19_980, "rare": 20}, {"usual": 140, "rare": 60}))
    assert found.p_value < 1e-9
    assert found.effect == pytest.approx(0.3, abs=0.02)
    among_many = {f"l{n}": 15 for n in range(1300)}
    found = compare(categories(among_many, {f"l{n}": 1 for n in range(140)} | {"l7": 60}))
    assert found.p_value < 1e-9
    assert found.effect > 0.2


def test_many_rare_categories_that_gain_together_are_found() -> None:
    rng = np.random.default_rng(0)
    before = Counter(f"l{n}" for n in rng.integers(0, 1300, 20_000))
    now = Counter(f"l{n}" for n in rng.integers(0, 1300, 400)) + Counter(f"l{n * 40}" for n in rng.integers(0, 30, 600))
    found = compare(categories(before, now))
    assert found.p_value < 1e-9
    assert found.effect > 0.1


def test_a_thousand_categories_dealt_by_chance_are_no_change() -> None:
    p_values, effects = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        before, now = (Counter(f"l{n}" for n in rng.integers(0, 1300, rows)) for rows in (5000, 200))
        found = compare(categories(before, now))
        p_values.append(found.p_value)
        effects.append(found.effect)
    assert min(p_values) > 0.001
    assert 0.2 < float(np.median(p_values)) < 0.8
    assert float(np.median(effects)) < 0.05


def test_chance_alone_is_what_dealing_the_rows_gives() -> None:
    """Over random deals the corrected distance is small, the plain one isn't."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(30), 20)
    plain, corrected = [], []
    for _ in range(200):
        rng.shuffle(rows)
        table = np.array([np.bincount(side, minlength=30) for side in (rows[:400], rows[400:])], dtype=np.float64)
        plain.append(0.5 * np.abs(table[0] / 400 - table[1] / 200).sum())
        corrected.append(beyond_chance(table))
    assert float(np.mean(plain)) > 0.1
    assert float(np.mean(corrected)) < 0.04


@pytest.mark.parametrize(
    ("table", "distance"), [([[50, 0], [0, 70]], 1.0), ([[60, 40], [60, 40]], 0.0), ([[9], [5]], 0)]
)
def test_the_ends_of_the_distance(table: list[list[float]], distance: float) -> None:
    assert beyond_chance(np.array(table, dtype=np.float64)) == pytest.approx(distance)


def test_growth_counts_the_reference_as_a_sample() -> None:
    """Tea-tasting by hand: 2 of 4 against 2 of 2 is P(both marked of 4 in 6) = 6 / 15."""
    assert growth(2, 4, 2, 2) == pytest.approx(6 / 15)
    assert growth(0, 100, 0, 100) == 1
    assert growth(5, 100, 60, 100) < 1e-9
    assert growth(60, 100, 5, 100) > 0.99


def test_categories_of_one_value_are_no_change_and_of_no_common_value_all_of_it() -> None:
    same = compare(categories({"a": 300}, {"a": 250}))
    assert (same.effect, same.p_value) == (0.0, 1.0)
    apart = compare(categories({"a": 300}, {"b": 250}))
    assert apart.effect == pytest.approx(1.0)
    assert apart.p_value < 1e-9
