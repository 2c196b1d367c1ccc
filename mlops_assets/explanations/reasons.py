"""Why a record is an anomaly, in words: which of its values, made typical, would raise its score most.

Works with any detector, given as a function from columns to scores (higher is more normal). Add here what makes a
reason true. Keep out detectors, what is usual (`reference`) and how a reason is worded (`wording`). numpy only, so
that a service can use it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops_assets.explanations.reference import Columns, Part, Reference, Value, columns_of, is_missing, plain
from mlops_assets.explanations.wording import NEVER, Wording, rarity, share

__all__ = ["NOTHING", "Explanation", "Reason", "Score", "Wording", "explain"]

Score = Callable[[Columns], Any]

# A value explains a score when making it typical closes at least this part of the gap to a typical record.
LEAST = 0.05
NOTHING = "no unusual value"


@dataclass(frozen=True)
class Reason:
    """One value of a record: what the score gains when it is made typical, and how many training rows have it.

    Several gaps are one reason: `column` is the rarest of them and `count` the training rows with this one.
    """

    column: str
    value: Value | None
    gain: float
    count: int
    words: str


@dataclass(frozen=True)
class Explanation:
    """A record's score and its reasons, strongest first; `combined`: only together do they explain it."""

    score: float
    reasons: tuple[Reason, ...]
    combined: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """A text per reason, never none: a combination is one text, and so is that nothing is unusual.

        They hold values of the record: escape them where markup is read.
        """
        found = tuple(reason.words for reason in self.reasons) or (NOTHING,)
        return (f"a combination of {', '.join(found[:-1])} and {found[-1]}",) if self.combined else found

    @property
    def text(self) -> str:
        """`words` as one line."""
        return "; ".join(self.words)


def explain(
    rows: Any, score: Score, reference: Reference, wording: Wording | None = None, *, most: int = 3
) -> list[Explanation]:
    """An explanation per row of `rows` (a frame or a mapping of columns), with one call of `score`.

    `score` gets columns as arrays [n], numbers as float64, all else as object, and answers n scores. It is asked for
    each record as it is, for each part of a record that isn't typical, and for one typical record: for r records at
    most r * (1 + parts) + 1 rows. A record's gaps are made typical together: one by one, each would hide behind the
    others. They are told last, and its values are judged with the gaps filled, or what is missing would hide what is
    there. Columns that the reference doesn't know are handed on as they are. A replacement whose score isn't finite
    explains nothing. Raises ValueError for a wrong number of scores.
    """
    columns = columns_of(rows, list(rows), reference.numeric)
    count = len(next(iter(columns.values()), ()))
    if not count:
        return []
    wording = wording or Wording()
    changes = _Changes.of(columns, reference.parts, wording)
    scores = np.asarray(score(changes.asked(columns, reference.parts)), dtype=float).ravel()
    expected = count + sum(map(len, changes.picked)) + 1
    if len(scores) != expected:
        raise ValueError(f"asked for {expected:,} scores, got {len(scores):,}")
    ends = np.cumsum([count, *map(len, changes.picked)])
    *changed, filled = (scores[start:end] for start, end in itertools.pairwise(ends))
    whole = scores[:count].copy()
    whole[changes.picked[-1]] = filled
    gains = np.full((count, len(changes.picked)), -np.inf)
    for number, (which, found) in enumerate(zip(changes.picked, [*changed, filled], strict=True)):
        gain = found - (scores[which] if number == len(changed) else whole[which])
        gains[which, number] = np.where(np.isfinite(gain), gain, 0.0)
    teller = _Teller(columns, reference, wording, changes.gaps, most)
    return [teller.explanation(row, gains[row], scores[row], whole[row], scores[-1]) for row in range(count)]


@dataclass(frozen=True)
class _Changes:
    """Which parts of which records are made typical.

    `picked` holds, for each part, the records that it is replaced in, and last those with several gaps, in which these
    are replaced each time; `gaps` is bool [parts, n]: the parts that the latter have no word for.
    """

    gaps: np.ndarray
    picked: Sequence[np.ndarray]

    @classmethod
    def of(cls, columns: Columns, parts: Sequence[Part], wording: Wording) -> _Changes:
        odd = np.zeros((len(parts), len(next(iter(columns.values())))), dtype=bool)
        gaps = odd.copy()
        for number, part in enumerate(parts):
            odd[number], gaps[number] = _odd_and_gap(columns, part, wording)
        several = gaps.sum(axis=0) > 1
        gaps &= several
        return cls(gaps, [*map(np.flatnonzero, odd & ~gaps), np.flatnonzero(several)])

    def asked(self, columns: Columns, parts: Sequence[Part]) -> Columns:
        """Records as they are, then those of `picked` with what is replaced, then the typical record."""
        count = self.gaps.shape[1]
        source = np.concatenate([np.arange(count), *self.picked, [0]])
        replaced = np.repeat(np.arange(-1, len(parts) + 2), [count, *map(len, self.picked), 1])
        asked = {name: values[source] for name, values in columns.items()}
        for number, part in enumerate(parts):
            where = (replaced == number) | ((replaced >= 0) & self.gaps[number, source])
            where[-1] = True
            for name, value in zip(part.columns, part.typical, strict=True):
                asked[name][where] = value
        return asked


def _odd_and_gap(columns: Columns, part: Part, wording: Wording) -> tuple[np.ndarray, np.ndarray]:
    """Which records [n] differ from the typical values in what is told of a part, and which of them tell no word.

    What isn't told of a part follows from what is, such as the sine of an hour, or says more than people ask.
    """
    lead = columns[part.columns[0]]
    odd = np.asarray(lead != part.typical[0], dtype=bool)
    others = np.zeros(len(lead), dtype=bool)
    for name, typical in zip(part.columns[1:], part.typical[1:], strict=True):
        if name in wording.labels:
            others |= np.asarray(columns[name] != typical, dtype=bool) & ~is_missing(columns[name])
    # Faster than NumPy's search for the few records that a service explains.
    untold = is_missing(lead) | np.fromiter((word in wording.untold for word in lead.tolist()), bool, len(lead))
    # A number that is missing isn't counted in: models put the usual one there.
    return odd | others, odd & untold & ~others & (lead.dtype != np.float64)


@dataclass(frozen=True)
class _Teller:
    columns: Columns
    reference: Reference
    wording: Wording
    gaps: np.ndarray
    most: int

    def explanation(self, row: int, gains: np.ndarray, score: float, whole: float, typical: float) -> Explanation:
        """`whole` is the score with the record's gaps filled, `typical` that of a typical record."""
        *told, untold = (n for n in range(len(gains)))
        odd = [number for number in told if gains[number] > -np.inf]
        # Sorting is stable: equal gains keep the order of the columns.
        strong = sorted(self._strong(odd, gains, typical - whole), key=lambda number: -gains[number])
        last = self._strong([untold], gains, typical - score)
        found = [*strong[: self.most - len(last)], *last]
        if found or not typical - score > 0:
            return Explanation(float(score), tuple(self._reason(row, n, gains[n]) for n in found))
        reasons = [self._reason(row, number, gains[number]) for number in odd]
        reasons.sort(key=lambda reason: (-max(reason.gain, 0.0), reason.count))
        weak = tuple(reasons[: self.most])
        return Explanation(float(score), weak, combined=len(weak) > 1)

    def _strong(self, numbers: Sequence[int], gains: np.ndarray, gap: float) -> list[int]:
        """Those that close at least a part of the gap, or of the largest gain where that is more."""
        largest = max((gains[number] for number in numbers), default=0.0)
        least = LEAST * max(largest, gap if np.isfinite(gap) else 0.0)
        return [number for number in numbers if gains[number] > 0 and gains[number] >= least]

    def _reason(self, row: int, number: int, gain: float) -> Reason:
        if number == len(self.reference.parts):
            return self._gaps(row, gain)
        part = self.reference.parts[number]
        name = part.columns[0]
        value = plain(self.columns[name][row])
        count = part.count(value)
        beside = [
            self.wording.value(other, found)
            for other, typical in zip(part.columns[1:], part.typical[1:], strict=True)
            if other in self.wording.labels and (found := plain(self.columns[other][row])) not in (None, typical)
        ]
        words = ", ".join(beside)
        if value != part.typical[0]:
            said = rarity(part, value, count, self.reference.rows, self.wording.records)
            words = f"{self.wording.value(name, value)} ({'; '.join(filter(None, [said, words]))})"
        return Reason(name, value, float(gain), count, words)

    def _gaps(self, row: int, gain: float) -> Reason:
        """All gaps of a record as one reason, rarest first; that all are there is at most as common as the rarest."""
        parts = [part for part, gap in zip(self.reference.parts, self.gaps[:, row], strict=True) if gap]
        counted = [(part.count(plain(self.columns[part.columns[0]][row])), part.columns[0]) for part in parts]
        counted.sort(key=lambda pair: pair[0])
        count, name = counted[0]
        said = f"at most {share(count, self.reference.rows, self.wording.records)}" if count else NEVER
        return Reason(name, None, float(gain), count, f"{self.wording.gaps([n for _, n in counted])} ({said})")
