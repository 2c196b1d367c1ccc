"""Kept scores as the frame that `anomaly_report` draws: every scored record with when it was, its score, its groups.

Add here a column that charts need. Keep out charts and pages, and where scores are kept (`store`, `files`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlops_assets.batch import files
from mlops_assets.batch.months import of_day
from mlops_assets.batch.scoring import groups_of, time_of
from mlops_assets.storage.database import ScoredMonth, ScoredRecord
from mlops_assets.storage.files import Storage
from mlops_assets.training.detecting import PREDICTION
from mlops_assets.training.spec import SCORE, Product

if TYPE_CHECKING:
    import pandas as pd

# Files read between two words on progress.
STEP = 50


def frame(
    product: Product,
    months: Sequence[ScoredMonth],
    lowest: Sequence[ScoredRecord],
    storage: Storage,
    heard: Callable[[str], object] = lambda _: None,
) -> pd.DataFrame:
    """`at`, `anomaly_score`, `anomaly_pred`, `reasons` (of the `lowest`), `in_training` and the group columns.

    The records of these scored months, oldest month first. Raises ScoredFileError.
    """
    import pandas as pd

    columns = [time_of(product), SCORE, PREDICTION, *groups_of(product)]
    # Months of a compatibility run share one file.
    distinct = list(dict.fromkeys((month.file, month.file_sha256) for month in months))
    parts = []
    for number, (file, sha256) in enumerate(distinct, 1):
        parts.append(files.read(storage, product.name, file, sha256, columns))
        if number % STEP == 0:
            heard(f"{number} of {len(distinct)} files of scores read")
    # Empty months have no types worth keeping.
    parts = [part for part in parts if len(part)]
    if not parts:
        return presented(pd.DataFrame(columns=columns), product, ())
    return presented(pd.concat(parts, ignore_index=True), product, lowest, [m.month for m in months if m.in_training])


def presented(
    scored: pd.DataFrame,
    product: Product,
    lowest: Sequence[ScoredRecord],
    trained: Sequence[object] = (),
) -> pd.DataFrame:
    """Scored records with `at` for the product's time, and `reasons` and `in_training` beside it.

    `trained` are the first days of months that the model was trained on. A record of `lowest` is found by its place
    among its month's scores.
    """
    import pandas as pd

    found = scored.rename(columns={time_of(product): "at"})
    found["at"] = pd.to_datetime(found["at"])
    month = found["at"].to_numpy("datetime64[M]")
    found["in_training"] = np.isin(month, np.array([str(day)[:7] for day in trained], dtype="datetime64[M]"))
    reasons = np.full(len(found), None, dtype=object)
    order = np.lexsort([found[SCORE].to_numpy(dtype=float), month])
    names, starts = np.unique(month[order], return_index=True)
    first = dict(zip(names.astype(str), starts.tolist(), strict=True))
    for one in lowest:
        if of_day(one.month) in first:
            reasons[order[first[of_day(one.month)] + one.place - 1]] = "; ".join(one.reasons)
    found["reasons"] = reasons
    return found
