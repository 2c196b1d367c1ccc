"""What a column looks like on each side, in a few figures.

Add a figure here together with its field in `facts.Summary`. Keep out comparisons (`two_key`, `shares`).
"""

from __future__ import annotations

import numpy as np

from mlops_assets.drift.facts import Summary
from mlops_assets.drift.values import Categories, CategoryPair, NumberPair, Numbers, Pair

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP = 10


def summaries(pair: Pair) -> tuple[Summary, Summary]:
    """Both sides; of categories, the values that are the commonest on either."""
    if isinstance(pair, NumberPair):
        return _numbers(pair.reference), _numbers(pair.current)
    names = _commonest(pair)
    return _categories(pair.reference, names), _categories(pair.current, names)


def _commonest(pair: CategoryPair) -> list[str]:
    """Up to TOP values, by their larger share; equal ones by name."""
    names = {*pair.reference.counts, *pair.current.counts}
    return sorted(names, key=lambda name: (-max(pair.reference.share(name), pair.current.share(name)), name))[:TOP]


def _numbers(side: Numbers) -> Summary:
    if not side.count:
        return Summary(side.rows, _missing(side))
    return Summary(
        rows=side.rows,
        missing=_missing(side),
        mean=float(side.present.mean()),
        std=float(side.present.std()),
        minimum=float(side.present[0]),
        maximum=float(side.present[-1]),
        quantiles={str(q): float(v) for q, v in zip(QUANTILES, np.quantile(side.present, QUANTILES), strict=True)},
    )


def _categories(side: Categories, names: list[str]) -> Summary:
    return Summary(side.rows, _missing(side), top={name: side.share(name) for name in names})


def _missing(side: Numbers | Categories) -> float:
    return 1 - side.count / side.rows if side.rows else 0.0
