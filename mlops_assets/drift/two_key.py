"""The two keys of one column: how sure a change is (p-value) and how large it is (effect).

Numbers: Kolmogorov-Smirnov, and the Wasserstein distance in standard deviations of the reference. Categories:
chi-square on the table of counts, and the total variation distance beyond chance. Add a kind of column here, with
both keys. Keep out limits and verdicts (`judge`) and shares that must not rise (`shares`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.special import gammaln

from mlops_assets.drift.facts import Distance
from mlops_assets.drift.values import Categories, CategoryPair, NumberPair, Numbers, Pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAIL = 0.001  # clipped off each end of the reference before distances are taken
EXPECTED = 5.0  # least count that chi-square may expect in a cell
SAME, OTHER = "same", "other"


@dataclass(frozen=True)
class Move:
    """Means and standard deviations of clipped numbers, the reference's first."""

    means: tuple[float, float]
    spreads: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Both keys of a column. Numbers that have a scale have a `move`, for words about it."""

    distance: Distance
    p_value: float
    effect: float
    move: Move | None = None


def compare(pair: Pair, *, growth_only: bool = False) -> Comparison:
    """Both keys, of a pair with at least three numbers or one category a side; a fall counts unless `growth_only`."""
    return _numbers(pair, growth_only) if isinstance(pair, NumberPair) else _categories(pair)


def growth(seen: int, rows: int, seen_now: int, rows_now: int) -> float:
    """p-value that a share didn't grow (Fisher's exact test, one-sided). The reference is a sample like the day."""
    return min(1.0, float(stats.hypergeom.sf(seen_now - 1, rows + rows_now, seen + seen_now, rows_now)))


def central_range(ascending: NDArray[np.float64]) -> tuple[float, float]:
    """The 0.1 % and the 99.9 % quantile of sorted numbers, both of them numbers of it."""
    last = len(ascending) - 1
    return float(ascending[ceil(TAIL * last)]), float(ascending[floor((1 - TAIL) * last)])


def beyond_chance(table: NDArray[np.float64]) -> float:
    """Total variation distance of a 2 × k table's rows, 0-1, corrected for what chance alone gives.

    Two samples of the same distribution differ by E on average, exactly so over all ways to deal the rows to the
    sides. (TV - E) / (1 - E) is 0 without a change and 1 without a common value. The change of one value's share is a
    lower bound of the distance, and a better one where it spreads over many small falls that drown in chance.
    """
    if table.shape[1] < 2:
        return 0.0
    sizes = table.sum(axis=1, keepdims=True)
    changes = np.abs(np.subtract(*(table / sizes)))
    deviations = _mean_deviations(table)
    distance, chance = 0.5 * float(changes.sum()), 0.5 * float(deviations.sum())
    return max(0.0, (distance - chance) / (1 - chance), float((changes - deviations).max()))


def _mean_deviations(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much each value's share differs between the sides on average, if only chance deals the rows, [k].

    The count on one side is hypergeometric, whose mean deviation has a closed form (Diaconis & Zabell 1991).
    """
    totals, (other, side) = table.sum(axis=0), table.sum(axis=1)
    every = other + side
    above = np.floor(totals * side / every) + 1
    log_chance = _log_choose(totals, above) + _log_choose(every - totals, side - above) - _log_choose(every, side)
    deviation = 2 * above * (other - totals + above) / every * np.exp(log_chance)
    found: NDArray[np.float64] = deviation * every / (other * side)
    return found


def _log_choose(of: NDArray[np.float64], some: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = gammaln(of + 1) - gammaln(some + 1) - gammaln(of - some + 1)
    return found


def _numbers(pair: NumberPair, growth_only: bool) -> Comparison:
    """Kolmogorov-Smirnov, and Wasserstein in standard deviations of the reference.

    Both sides are clipped to the reference's 0.1-99.9 % quantiles before the distance, so that no outlier hides or
    fakes one; the quantiles are order statistics that leave out the reference's own extremes, however few its rows
    are. A reference that is constant between them has no scale: "has another value" is compared as a category.
    """
    reference, current = pair.reference.present, pair.current.present
    low, high = central_range(reference)
    clipped, others = np.clip(reference, low, high), np.clip(current, low, high)
    if low == high or not clipped.std():
        return _constant(pair, low, growth_only)
    move = Move((float(clipped.mean()), float(others.mean())), (float(clipped.std()), float(others.std())))
    # Where one side lies wholly above the other, the distance is the difference of the means.
    grown = max(0.0, move.means[1] - move.means[0])
    moved = grown if growth_only else float(stats.wasserstein_distance(clipped, others))
    return Comparison("wasserstein", _kolmogorov_smirnov(pair, growth_only), moved / move.spreads[0], move)


def _categories(pair: CategoryPair) -> Comparison:
    """Chi-square, and total variation beyond chance.

    Values that are too rare for chi-square are pooled, in the order of their names, into groups that are large
    enough; a pool that stays too small is tested for growth on its own, exactly. Groups depend on both sides
    together, never on the difference between them, so the p-value stays right.
    """
    reference, current = pair.reference, pair.current
    table, rest = _table(reference.counts, current.counts)
    p_value = _chi_square(table)
    if rest.any():
        grown = growth(int(rest[0]), reference.count, int(rest[1]), current.count)
        p_value = min(1.0, 2 * min(p_value, grown)) if table.shape[1] > 1 else grown
        table = np.column_stack([table, rest])
    return Comparison("total_variation", p_value, beyond_chance(table))


def _kolmogorov_smirnov(pair: NumberPair, growth_only: bool) -> float:
    reference, current = pair.reference.present, pair.current.present
    # The exact p-value differs little from 20 rows on, and for some sizes scipy can't find it and warns.
    # "less": the distribution function of the first sample lies below, so its values are larger.
    alternative = "less" if growth_only else "two-sided"
    return float(stats.ks_2samp(current, reference, alternative=alternative, method="asymp").pvalue)


def _constant(pair: NumberPair, value: float, growth_only: bool) -> Comparison:
    before, now = (_others(side, value, growth_only) for side in (pair.reference, pair.current))
    if growth_only and now.share(OTHER) <= before.share(OTHER):
        return Comparison("total_variation", 1.0, 0.0)
    return _categories(CategoryPair(before, now))


def _others(side: Numbers, value: float, growth_only: bool) -> Categories:
    other = int(np.count_nonzero(side.present > value if growth_only else side.present != value))
    return Categories(side.rows, +Counter({OTHER: other, SAME: side.count - other}))


def _chi_square(table: NDArray[np.float64]) -> float:
    return float(stats.chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


def _table(reference: Counter[str], current: Counter[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """2 × k counts, each expecting at least EXPECTED on the smaller side, and the two counts of what is left."""
    names = sorted(reference.keys() | current.keys())
    counts = np.array([[side[name] for name in names] for side in (reference, current)], dtype=np.float64)
    share = min(counts.sum(axis=1)) / counts.sum()
    expected = counts.sum(axis=0) * share
    rare = expected < EXPECTED
    groups = [*counts[:, ~rare].T]
    pool, filled, pooled = np.zeros(2), 0.0, False
    for column, weight in zip(counts[:, rare].T, expected[rare], strict=True):
        pool, filled = pool + column, filled + float(weight)
        if filled >= EXPECTED:
            groups.append(pool)
            pool, filled, pooled = np.zeros(2), 0.0, True
    if pooled:
        groups[-1] = groups[-1] + pool
        pool = np.zeros(2)
    return np.array(groups).T.reshape(2, -1), pool
