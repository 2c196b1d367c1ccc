"""Intervals: the promised share of unseen rows lies inside, the estimate never lies outside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mlops_assets.training.interval import fit_interval
from mlops_assets.training.spec import Interval
from mlops_assets.training.threads import one_thread


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def skewed(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, residuals whose spread grows with the first column and which lean upwards, keys."""
    random = np.random.default_rng(seed)
    matrix = random.uniform(0, 1, (count, 2)).astype(np.float32)
    residuals = (random.gamma(2.0, 1.0, count) - 2.0) * (0.1 + matrix[:, 0])
    return matrix, residuals, random.integers(0, 2**63, count).astype(np.uint64)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.9), (0.05, 0.75)])
def test_unseen_rows_are_covered_as_promised_on_each_side(low: float, high: float) -> None:
    band = fit_interval(*skewed(6000, 1), Interval(low=low, high=high), seed=0)
    matrix, residuals, _ = skewed(6000, 2)
    below, above = band.predict(matrix, np.zeros(len(matrix)))
    assert (residuals < below).mean() == pytest.approx(low, abs=0.025)
    assert (residuals > above).mean() == pytest.approx(1 - high, abs=0.025)


def test_the_width_follows_the_spread() -> None:
    band = fit_interval(*skewed(4000, 1), Interval(), seed=0)
    ends = np.array([[0.05, 0.5], [0.95, 0.5]], dtype=np.float32)
    low, high = band.predict(ends, np.zeros(2))
    narrow, wide = high - low
    assert wide > 2 * narrow


def test_the_estimate_stays_inside_even_when_every_residual_is_on_one_side() -> None:
    matrix, residuals, keys = skewed(500, 1)
    band = fit_interval(matrix, np.abs(residuals) + 1.0, keys, Interval(), seed=0)
    estimate = np.full(500, 7.0)
    low, high = band.predict(matrix, estimate)
    assert (low <= estimate).all()
    assert (estimate <= high).all()
    assert (low == estimate).all()


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 50"):
        fit_interval(*skewed(49, 1), Interval(), seed=0)


def test_rows_of_one_key_can_not_calibrate_themselves() -> None:
    matrix, residuals, _ = skewed(100, 1)
    with pytest.raises(ValueError, match="different rows"):
        fit_interval(matrix, residuals, np.zeros(100, dtype=np.uint64), Interval(), seed=0)
