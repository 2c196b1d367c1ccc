"""The figures of scored records by month: counts by group and by hour, the range of the scores; and the rate's gate.

Add here a figure that a month should be told by. Keep out charts of frames (`anomaly_report`) and tables (`store`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from mlops_assets.anomaly_report.summary import MISSING, percent

if TYPE_CHECKING:
    import pandas as pd

LOW = 0.01
WEEK, DAY = 7, 24


@dataclass(frozen=True)
class MonthFigures:
    """One month: see `ScoredMonth` for `groups`, `hours` and `low_score`. Scores are None without records."""

    records: int
    anomalies: int
    min_score: float | None
    max_score: float | None
    mean_score: float | None
    low_score: float | None
    groups: dict[str, dict[str, list[int]]]
    hours: dict[str, list[list[int]]]

    @property
    def scores(self) -> dict[str, float | None]:
        """The range of the scores, by name."""
        return {"min_score": self.min_score, "max_score": self.max_score, "mean_score": self.mean_score}


class Counts(NamedTuple):
    """Scored records, ready to be counted part by part: each array is [n]; `groups` holds codes and their names."""

    score: np.ndarray
    hour_of_week: np.ndarray
    groups: dict[str, tuple[np.ndarray, list[str]]]

    @classmethod
    def of(
        cls, rows: pd.DataFrame, time: str, groups: Iterable[str], score: np.ndarray, order: np.ndarray | None = None
    ) -> Counts:
        """From records with a column `time` (local) and the columns `groups`, and their scores [n].

        `order` [n] is the order in which they are counted, if it isn't that of the rows.
        """
        import pandas as pd

        kept = np.arange(len(rows)) if order is None else order
        at = rows[time].dt
        coded = {}
        for column in groups:
            codes, names = pd.factorize(rows[column])
            # A missing value's code is -1: the last name.
            coded[column] = ((codes % (len(names) + 1))[kept], [*map(str, names), MISSING])
        hours = (at.dayofweek * DAY + at.hour).to_numpy()
        return cls(np.asarray(score, dtype=float)[kept], hours[kept], coded)

    def figures(self, part: slice) -> MonthFigures:
        """Of one part of the records."""
        score = self.score[part]
        odd = score < 0
        known = len(score) > 0
        return MonthFigures(
            records=len(score),
            anomalies=int(odd.sum()),
            min_score=float(score.min()) if known else None,
            max_score=float(score.max()) if known else None,
            mean_score=float(score.mean()) if known else None,
            low_score=float(np.quantile(score, LOW)) if known else None,
            groups={column: _by_name(codes[part], names, odd) for column, (codes, names) in self.groups.items()},
            hours={
                "records": _week(self.hour_of_week[part]),
                "anomalies": _week(self.hour_of_week[part][odd]),
            },
        )


class Judged(Protocol):
    """What the gate needs of a scored month."""

    in_training: bool
    records: int
    anomalies: int

    @property
    def month(self) -> Any:
        """Its first day."""


@dataclass(frozen=True)
class Gate:
    """Whether no month had too many anomalies, in a sentence. `rate` is the worst month's; None if none counts."""

    passed: bool
    said: str
    rate: float | None
    months: int


def rate_gate(months: Iterable[Judged], max_rate: float, min_rows: int) -> Gate:
    """Months that the model wasn't trained on, of at least `min_rows` records, may have `max_rate` anomalies each."""
    judged = [m for m in months if not m.in_training and m.records >= min_rows]
    if not judged:
        return Gate(True, f"no month after training has {min_rows} records yet", None, 0)
    worst = max(judged, key=lambda m: m.anomalies / m.records)
    rate = worst.anomalies / worst.records
    above = sum(m.anomalies / m.records > max_rate for m in judged)
    told = f"{worst.month:%Y-%m} has the highest rate, {percent(rate)} of {worst.records:,} records"
    limit = f"of {len(judged)} months after training have more than {percent(max_rate)} anomalies"
    return Gate(not above, f"{above or 'none'} {limit}; {told}", rate, len(judged))


def _by_name(codes: np.ndarray, names: list[str], odd: np.ndarray) -> dict[str, list[int]]:
    records, anomalies = np.bincount(codes, minlength=len(names)), np.bincount(codes[odd], minlength=len(names))
    return {names[place]: [int(records[place]), int(anomalies[place])] for place in np.flatnonzero(records)}


def _week(hours: np.ndarray) -> list[list[int]]:
    found: list[list[int]] = np.bincount(hours, minlength=WEEK * DAY).reshape(WEEK, DAY).tolist()
    return found
