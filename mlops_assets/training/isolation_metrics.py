"""How good a detector is when no row is labelled: its rate, its stability, and what others know about the rows.

Each is a plain number of scores [n] (lower: more anomalous) or of flags [n] (True: anomaly). Add here what else can
be known without labels. Keep out limits (`gates`) and the detector (`isolation`). As in `scores`, what can't be
computed raises ValueError: it is a fault, not a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

TOP_SHARE = 0.01
MONTH_ROWS = 500
BINS = 10


def anomaly_rate(flags: np.ndarray) -> float:
    """Share of rows that are anomalies, 0-1."""
    if not len(flags):
        raise ValueError("there is no row: no anomaly rate")
    return float(np.asarray(flags, dtype=bool).mean())


def top(scores: np.ndarray, share: float = TOP_SHARE) -> np.ndarray:
    """Flags [n] of the most anomalous `share` of the rows, at least one; of equal scores the earlier rows."""
    if not len(scores):
        raise ValueError("there is no row: none is the most anomalous")
    found = np.zeros(len(scores), dtype=bool)
    found[np.argsort(scores, kind="stable")[: max(1, round(share * len(scores)))]] = True
    return found


def jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """Rows flagged by both over rows flagged by either, 0-1; 1 when neither flags any."""
    either = np.count_nonzero(left | right)
    return float(np.count_nonzero(left & right) / either) if either else 1.0


def spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Rank correlation of two scores, -1 to 1; ties share their mean rank."""
    first, second = _ranks(left), _ranks(right)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError("a rank correlation is undefined: every row has the same score")
    return float(np.corrcoef(first, second)[0, 1])


def seed_stability(scores: Sequence[np.ndarray], share: float = TOP_SHARE) -> dict[str, float]:
    """The least `seed_spearman` and `seed_overlap` of any two models that differ by their seed only.

    `scores` holds each model's scores of the same rows. The overlap is the Jaccard index of their tops.
    """
    if len(scores) < 2:
        raise ValueError("stability over seeds needs the scores of at least two models")
    tops = [top(values, share) for values in scores]
    return {
        "seed_spearman": min(spearman(left, right) for left, right in combinations(scores, 2)),
        "seed_overlap": min(jaccard(left, right) for left, right in combinations(tops, 2)),
    }


def month_ratio(flags: np.ndarray, months: np.ndarray, min_rows: int = MONTH_ROWS) -> float:
    """Largest anomaly rate of a month over the median month's rate: 1 when all are equal.

    `months` [n] names each row's month; months with fewer than `min_rows` rows aren't counted. Infinite when
    there are anomalies, yet none in the median month.
    """
    _, month, rows = np.unique(months, return_inverse=True, return_counts=True)
    rates = (np.bincount(month, np.asarray(flags, dtype=float)) / rows)[rows >= min_rows]
    if not len(rates):
        raise ValueError(f"no month has {min_rows} rows: no stability over months")
    highest, middle = float(rates.max()), float(np.median(rates))
    if middle == 0:
        return 1.0 if highest == 0 else float("inf")
    return highest / middle


def rarity(frame: pd.DataFrame, numeric: Sequence[str], categorical: Sequence[str], *, bins: int = BINS) -> np.ndarray:
    """A second detector, without trees or seeds: how rare a row's values are one by one, float64 [n].

    The negative of the histogram-based outlier score, so lower is more anomalous as in every score here: the sum
    over columns of ln(share of rows in the same bin). A text is its own bin, and so is a number of a column with
    at most `bins` of them; other numbers fall in `bins` bins of equal width. Missing values are a bin too.
    Source: Goldstein, Dengel, "Histogram-based Outlier Score (HBOS)", KI 2012.
    """
    import pandas as pd

    total = np.zeros(len(frame))
    for name in (*numeric, *categorical):
        values = frame[name]
        if name in numeric and values.nunique() > bins:
            values = pd.cut(values, bins, labels=False)
        codes, _ = pd.factorize(values)
        total += np.log(np.bincount(codes + 1)[codes + 1] / len(frame))
    return total


def agreement(scores: np.ndarray, second: np.ndarray, share: float = TOP_SHARE) -> float:
    """How well a second detector's scores rank this one's top above all other rows: ROC-AUC, 0.5 by chance."""
    return auc(second, top(scores, share))


def severe_rank(scores: np.ndarray, severe: np.ndarray) -> dict[str, float]:
    """Where rows that are known to be severe stand: `severe_percentile`, `severe_auc`, each 0-1 and 0.5 by chance.

    The percentile is the mean share of all rows that are less anomalous, an equal score counting half. The AUC
    compares severe rows with the others only.
    """
    chosen = np.asarray(severe, dtype=bool)
    found = auc(scores, chosen)
    less_anomalous = (_ranks(-np.asarray(scores))[chosen] - 0.5) / len(chosen)
    return {"severe_percentile": float(less_anomalous.mean()), "severe_auc": found}


def auc(scores: np.ndarray, chosen: np.ndarray) -> float:
    """Probability that a chosen row is more anomalous (has a lower score) than another; ties count half.

    Source: Mann-Whitney's U over the number of pairs.
    """
    chosen = np.asarray(chosen, dtype=bool)
    inside = int(chosen.sum())
    outside = len(chosen) - inside
    if not inside or not outside:
        raise ValueError("an AUC is undefined: all rows or none are chosen")
    above = _ranks(-np.asarray(scores))[chosen].sum() - inside * (inside + 1) / 2
    return float(above / (inside * outside))


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(values)
