"""Two ways of scoring the same records beside each other: who flags what, how alike the order is, and what differs.

Add here what else tells two detectors apart. Keep out tables (`shown`) and where scores come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.training import isolation_metrics as metrics
from mlops_assets.training.isolation import IsolationModel

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Of `records` that two detectors scored: flags of both and of one only, and how alike their scores are.

    `top_overlap` is the Jaccard index of the oddest 1 % of each. `spearman` is None where all scores are equal.
    """

    records: int
    both: int
    only_first: int
    only_second: int
    spearman: float | None
    top_overlap: float


def compare(
    rows: pd.DataFrame, score: np.ndarray, other_rows: pd.DataFrame, other_score: np.ndarray
) -> Comparison | None:
    """Records with equal values are the same record, in whatever order; None when the two have none in common."""
    import pandas as pd

    columns = list(rows.columns)
    if not set(columns) <= set(other_rows.columns):
        return None
    mine = pd.util.hash_pandas_object(rows, index=False).to_numpy()
    theirs, first = np.unique(pd.util.hash_pandas_object(other_rows[columns], index=False), return_index=True)
    place = np.minimum(np.searchsorted(theirs, mine), max(len(theirs) - 1, 0))
    found = theirs[place] == mine if len(theirs) else np.zeros(len(mine), dtype=bool)
    if not found.any():
        return None
    one, two = np.asarray(score)[found], np.asarray(other_score)[first[place[found]]]
    try:
        ranks: float | None = metrics.spearman(one, two)
    except ValueError:
        ranks = None
    return Comparison(
        records=len(one),
        both=int(((one < 0) & (two < 0)).sum()),
        only_first=int(((one < 0) & (two >= 0)).sum()),
        only_second=int(((one >= 0) & (two < 0)).sum()),
        spearman=ranks,
        top_overlap=metrics.jaccard(metrics.top(one), metrics.top(two)),
    )


def difference(compatible: IsolationModel, production: IsolationModel, trained_until: str | None) -> str:
    """What differs between the compatibility forest and production's, in one sentence."""
    added, removed = _beside(production, compatible), _beside(compatible, production)
    uses = f"also uses {', '.join(added)}" if added else "uses the same columns"
    lacks = f", not {', '.join(removed)}" if removed else ""
    trees = f"has {len(production.trees.roots):,} trees instead of {len(compatible.trees.roots):,}"
    until = f"was trained on records to {trained_until} only" if trained_until else "was trained on all records"
    return (
        f"Production's model {uses}{lacks}, {trees}, and {until}; "
        "the compatibility forest is fitted to the very records that it scores."
    )


def _beside(one: IsolationModel, other: IsolationModel) -> Sequence[str]:
    """Model columns of the one that the other doesn't have."""
    known = {*other.encoder.numeric, *other.encoder.categorical}
    return [name for name in (*one.encoder.numeric, *one.encoder.categorical) if name not in known]
