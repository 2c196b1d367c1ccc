"""Quality without labels, on made scores whose answer can be counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops_assets.training import isolation_metrics as metrics


def flags(*places: int, count: int = 10) -> np.ndarray:
    found = np.zeros(count, dtype=bool)
    found[list(places)] = True
    return found


def test_anomaly_rate_is_the_share_of_flags() -> None:
    assert metrics.anomaly_rate(flags(1, 4)) == 0.2
    assert metrics.anomaly_rate(flags()) == 0.0
    with pytest.raises(ValueError, match="no row"):
        metrics.anomaly_rate(np.zeros(0, dtype=bool))


def test_the_top_is_the_lowest_scores_and_at_least_one_row() -> None:
    scores = np.array([5, 1, 4, 1, 3, 1, 9, 9, 9, 9])
    assert np.flatnonzero(metrics.top(scores, 0.2)).tolist() == [1, 3]
    assert np.flatnonzero(metrics.top(scores, 0.01)).tolist() == [1]
    assert metrics.top(np.arange(1000)).sum() == 10
    with pytest.raises(ValueError, match="no row"):
        metrics.top(np.zeros(0))


def test_jaccard_is_both_over_either() -> None:
    assert metrics.jaccard(flags(0, 1, 2), flags(1, 2, 3)) == 0.5
    assert metrics.jaccard(flags(0), flags(1)) == 0.0
    assert metrics.jaccard(flags(), flags()) == 1.0


def test_spearman_sees_order_only() -> None:
    scores = np.array([3.0, 1.0, 2.0, 8.0])
    assert metrics.spearman(scores, np.exp(scores)) == pytest.approx(1.0)
    assert metrics.spearman(scores, -scores) == pytest.approx(-1.0)
    # 1 - 6 Σd² / (n (n² - 1)) with differences of rank 0, 0, 1, 1.
    assert metrics.spearman(np.array([1, 2, 3, 4]), np.array([1, 2, 4, 3])) == pytest.approx(0.8)
    with pytest.raises(ValueError, match="same score"):
        metrics.spearman(scores, np.ones(4))


def test_stability_over_seeds_is_that_of_the_worst_pair() -> None:
    first = np.arange(100.0)
    swapped = first.copy()
    swapped[[0, 99]] = swapped[[99, 0]]
    found = metrics.seed_stability([first, first * 2, swapped], share=0.02)
    assert found["seed_overlap"] == pytest.approx(1 / 3)
    assert found["seed_spearman"] == pytest.approx(metrics.spearman(first, swapped))
    assert metrics.seed_stability([first, first + 1]) == pytest.approx({"seed_spearman": 1.0, "seed_overlap": 1.0})
    with pytest.raises(ValueError, match="two models"):
        metrics.seed_stability([first])


def test_month_ratio_compares_the_highest_month_with_the_median_one() -> None:
    months = np.repeat(["2020-01", "2020-02", "2020-03", "2020-04"], [10, 10, 10, 4])
    chosen = flags(0, 10, 20, 21, 22, 30, 31, 32, 33, count=34)
    assert metrics.month_ratio(chosen, months, min_rows=10) == pytest.approx(3.0)
    # The small month counts too: rates 0.1, 0.1, 0.3, 1.
    assert metrics.month_ratio(chosen, months, min_rows=4) == pytest.approx(1 / 0.2)
    assert metrics.month_ratio(np.zeros(34, dtype=bool), months, min_rows=4) == 1.0
    assert metrics.month_ratio(flags(0, count=34), months, min_rows=4) == np.inf
    with pytest.raises(ValueError, match="500 rows"):
        metrics.month_ratio(chosen, months)


def test_rarity_adds_the_logs_of_the_shares_of_a_rows_values() -> None:
    frame = pd.DataFrame({"place": ["a", "a", "a", "b"], "units": [1.0, 2.0, 2.0, np.nan], "unused": range(4)})
    expected = np.log([3 / 4 * 1 / 4, 3 / 4 * 2 / 4, 3 / 4 * 2 / 4, 1 / 4 * 1 / 4])
    np.testing.assert_allclose(metrics.rarity(frame, ["units"], ["place"]), expected)


def test_rarity_puts_many_numbers_in_bins_of_equal_width() -> None:
    speeds = np.concatenate([np.linspace(0, 9, 99), [100.0]])
    found = metrics.rarity(pd.DataFrame({"speed": speeds}), ["speed"], [])
    np.testing.assert_allclose(found, np.log([0.99] * 99 + [0.01]))


def test_agreement_is_one_when_the_second_detector_puts_the_top_first_and_half_by_chance() -> None:
    scores = np.arange(1000.0)
    assert metrics.agreement(scores, scores**3) == 1.0
    assert metrics.agreement(scores, -scores) == 0.0
    assert metrics.agreement(scores, np.random.default_rng(0).normal(size=1000), share=0.5) == pytest.approx(
        0.5, abs=0.05
    )
    assert metrics.agreement(scores, np.zeros(1000)) == 0.5


def test_auc_is_the_share_of_pairs_in_order() -> None:
    scores = np.array([0.1, 0.4, 0.3, 0.4, 0.9])
    # Chosen 0.1 is lower than all three others; chosen 0.4 lower than 0.9, equal to 0.4, higher than 0.3.
    assert metrics.auc(scores, flags(0, 1, count=5)) == pytest.approx((3 + 1.5) / 6)
    for chosen in (flags(count=5), ~flags(count=5)):
        with pytest.raises(ValueError, match="all rows or none"):
            metrics.auc(scores, chosen)


def test_severe_rows_stand_at_the_mean_share_of_rows_below_them() -> None:
    scores = np.arange(10.0)
    found = metrics.severe_rank(scores, flags(0, 3))
    assert found["severe_percentile"] == pytest.approx((0.95 + 0.65) / 2)
    assert found["severe_auc"] == pytest.approx((8 + 6) / 16)
    assert metrics.severe_rank(np.zeros(10), flags(0, 3)) == pytest.approx(
        {"severe_percentile": 0.5, "severe_auc": 0.5}
    )


def test_severe_rows_as_pandas_gives_them() -> None:
    fatal = pd.Series([1.0, 0, 0, 0], index=[9, 8, 7, 6]) > 0
    assert metrics.severe_rank(np.array([1.0, 2, 3, 4]), fatal.to_numpy())["severe_auc"] == 1.0
