"""Shares that must not rise: of missing values, of unseen categories and of numbers out of range.

Each has both keys too: a one-sided p-value that counts the reference as the sample it is, and a least rise. Add a
share here with what the reference lets one expect of it. Keep out whole distributions (`two_key`).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy import stats

from mlops_assets.drift.facts import ShareRise
from mlops_assets.drift.shown import number
from mlops_assets.drift.two_key import growth
from mlops_assets.drift.values import CategoryPair, NumberPair, Pair

EXAMPLES = 5
LEAST = 2  # one value alone is an accident, whatever the number of rows


def missing(pair: Pair, limit: float, alpha: float, *, counts: bool) -> ShareRise:
    """Rows without a value; where it doesn't count the share is shown and never called risen."""
    reference, current = pair.reference, pair.current
    before, now = reference.rows - reference.count, current.rows - current.count
    expected, seen = before / reference.rows, now / current.rows
    p_value = growth(before, reference.rows, now, current.rows)
    return ShareRise(
        name="missing",
        expected=expected,
        seen=seen,
        limit=limit,
        p_value=p_value,
        risen=counts and _risen(now, expected, seen, limit, p_value, alpha),
    )


def unseen(pair: CategoryPair, limit: float, alpha: float) -> ShareRise:
    """Values of categories that the reference lacks.

    A reference of n values never has every category: the chance that the next value is new is about the share of
    values that occur once (Good & Turing). That estimate varies more than a share of n rows does (Esty 1983), so
    the reference counts as fewer rows, of which a share would vary as much.
    """
    reference, current = pair.reference, pair.current
    frequencies = Counter(reference.counts.values())
    once, twice = frequencies[1], frequencies[2]
    binomial = once * (1 - once / reference.count)
    weight = binomial / (binomial + 2 * twice) if twice else 1.0
    new = Counter({name: count for name, count in current.counts.items() if name not in reference.counts})
    expected, seen = once / reference.count, new.total() / current.count
    p_value = growth(round(once * weight), round(reference.count * weight), new.total(), current.count)
    return ShareRise(
        name="unseen",
        expected=expected,
        seen=seen,
        limit=limit,
        p_value=p_value,
        risen=_risen(new.total(), expected, seen, limit, p_value, alpha),
        examples=tuple(name for name, _ in new.most_common(EXAMPLES)),
    )


def out_of_range(pair: NumberPair, limit: float, alpha: float, *, growth_only: bool = False) -> ShareRise:
    """Numbers beyond the reference's least and largest; above the largest only, with `growth_only`.

    Of n numbers the two extremes leave a share outside that is Beta(2, n - 1) distributed, whatever the numbers'
    distribution (Wilks), so the count of a day without a change is beta-binomial.
    """
    reference, current = pair.reference, pair.current
    ends = 1 if growth_only else 2
    above = current.present[current.present > reference.present[-1]]
    below = current.present[:0] if growth_only else current.present[current.present < reference.present[0]]
    count = len(above) + len(below)
    expected, seen = ends / (reference.count + 1), count / current.count
    tail = stats.betabinom.pmf(np.arange(count, current.count + 1), current.count, ends, reference.count + 1 - ends)
    p_value = min(1.0, float(tail.sum()))
    furthest = [*below[:EXAMPLES], *above[::-1][:EXAMPLES]]
    return ShareRise(
        name="out_of_range",
        expected=expected,
        seen=seen,
        limit=limit,
        p_value=p_value,
        risen=_risen(count, expected, seen, limit, p_value, alpha),
        examples=tuple(dict.fromkeys(number(float(value)) for value in furthest))[:EXAMPLES],
    )


def strength(share: ShareRise) -> float:
    """Rise / limit if it has risen, else 0."""
    return (share.seen - share.expected) / share.limit if share.risen else 0.0


def _risen(count: int, expected: float, seen: float, limit: float, p_value: float, alpha: float) -> bool:
    return bool(count >= LEAST and p_value < alpha and seen - expected >= limit)
