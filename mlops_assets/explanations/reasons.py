"""Why a record is an anomaly, in words: which of its values, made typical, would raise its score most.

Works with any detector, given as a function from columns to scores (higher is more normal). Add here what makes a
reason true or easier to understand. Keep out detectors, what is usual (`reference`) and what a product calls its
columns (the caller's `Wording`). numpy only, so that a service can use it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from mlops_assets.explanations.reference import Columns, Part, Reference, Value, columns_of, plain

Score = Callable[[Columns], Any]

# A value explains a score when making it typical closes at least this part of the gap to a typical record.
LEAST = 0.05
LONGEST = 80
NOTHING = "no unusual value"


class Wording(BaseModel):
    """What a product calls things. Without it a column is told by its name with blanks.

    A label stands before the value unless it holds "{}": "hour {}", "{} vehicle|{} vehicles" (for 1, for others).
    `values` renames values: {"crash_day_of_week": {"1": "Sunday"}}.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Mapping[str, str] = {}
    values: Mapping[str, Mapping[str, str]] = {}
    records: str = "records"


@dataclass(frozen=True)
class Reason:
    """One value of a record: what the score gains when it is made typical, and how many training rows have it."""

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
    def text(self) -> str:
        """The reasons as one line. It holds values of the record: escape it where markup is read."""
        words = [reason.words for reason in self.reasons]
        if not words:
            return NOTHING
        if not self.combined:
            return "; ".join(words)
        return f"a combination of {', '.join(words[:-1])} and {words[-1]}"


def explain(
    rows: Any, score: Score, reference: Reference, wording: Wording | None = None, *, most: int = 3
) -> list[Explanation]:
    """An explanation per row of `rows` (a frame or a mapping of columns), with one call of `score`.

    `score` gets columns as arrays [n], numbers as float64, all else as object, and answers n scores. It is asked for
    each record as it is, for each part of a record that isn't typical, and for one typical record: for r records at
    most r * (1 + parts) + 1 rows. Columns that the reference doesn't know are handed on as they are. A replacement
    whose score isn't finite explains nothing. Raises ValueError for a wrong number of scores.
    """
    columns = columns_of(rows, list(rows), reference.numeric)
    count = len(next(iter(columns.values()), ()))
    if not count:
        return []
    picked = [np.flatnonzero(_is_odd(columns, part)) for part in reference.parts]
    asked = _asked(columns, reference.parts, picked, count)
    scores = np.asarray(score(asked), dtype=float).ravel()
    expected = count + sum(map(len, picked)) + 1
    if len(scores) != expected:
        raise ValueError(f"asked for {expected:,} scores, got {len(scores):,}")
    gains = np.full((count, len(picked)), -np.inf)
    place = count
    for number, which in enumerate(picked):
        gain = scores[place : place + len(which)] - scores[which]
        gains[which, number] = np.where(np.isfinite(gain), gain, 0.0)
        place += len(which)
    teller = _Teller(columns, reference, wording or Wording(), most)
    return [teller.explanation(row, gains[row], scores[row], scores[-1]) for row in range(count)]


@dataclass(frozen=True)
class _Teller:
    columns: Columns
    reference: Reference
    wording: Wording
    most: int

    def explanation(self, row: int, gains: np.ndarray, score: float, typical: float) -> Explanation:
        odd = [number for number, gain in enumerate(gains) if gain > -np.inf]
        best = max((gains[number] for number in odd), default=0.0)
        gap = max(best, typical - score if np.isfinite(typical - score) else 0.0, 0.0)
        # Sorting is stable: equal gains keep the order of the columns.
        strong = sorted((n for n in odd if gains[n] > 0 and gains[n] >= LEAST * gap), key=lambda n: -gains[n])
        if strong or gap <= 0:
            return Explanation(float(score), tuple(self._reason(row, n, gains[n]) for n in strong[: self.most]))
        reasons = [self._reason(row, number, gains[number]) for number in odd]
        reasons.sort(key=lambda reason: (-max(reason.gain, 0.0), reason.count))
        told = tuple(reasons[: self.most])
        return Explanation(float(score), told, combined=len(told) > 1)

    def _reason(self, row: int, number: int, gain: float) -> Reason:
        part = self.reference.parts[number]
        name = part.columns[0]
        value = plain(self.columns[name][row])
        count = part.count(value)
        return Reason(
            name, value, float(gain), count, f"{self._named(name, value)} ({self._rarity(part, value, count)})"
        )

    def _named(self, name: str, value: Value | None) -> str:
        label = self.wording.labels.get(name, name.replace("_", " "))
        forms = label.split("|") if "{}" in label else [f"{label} {{}}"]
        if value is None:
            return f"{' '.join(forms[-1].replace('{}', '').split())} missing"
        text = _text(value)
        return forms[0 if text == "1" else -1].replace("{}", self.wording.values.get(name, {}).get(text, text))

    def _rarity(self, part: Part, value: Value | None, count: int) -> str:
        share = _share(count, self.reference.rows)
        if value is None or not part.ordered:
            return f"{share} of {self.wording.records}" if count else "never seen in training"
        high = part.is_high(value)
        if not count:
            end = _text(part.values[-1 if high else 0])
            return f"never seen in training, where the {'highest' if high else 'lowest'} is {end}"
        return f"{share} have {_text(value)} or {'more' if high else 'fewer'}"


def _is_odd(columns: Columns, part: Part) -> np.ndarray:
    """Which records differ from the typical values of a part; a missing value always does."""
    differ = [
        np.asarray(columns[name] != value, dtype=bool) for name, value in zip(part.columns, part.typical, strict=True)
    ]
    return np.logical_or.reduce(differ)


def _asked(columns: Columns, parts: Sequence[Part], picked: Sequence[np.ndarray], count: int) -> Columns:
    """Records as they are, then per part those that it is replaced in, then the typical record."""
    source = np.concatenate([np.arange(count), *picked, [0]])
    asked = {name: values[source] for name, values in columns.items()}
    place = count
    for part, which in zip(parts, picked, strict=True):
        for name, value in zip(part.columns, part.typical, strict=True):
            asked[name][place : place + len(which)] = value
            asked[name][-1] = value
        place += len(which)
    return asked


def _text(value: Value) -> str:
    text = f"{value:.10g}" if isinstance(value, float) else " ".join(value.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _share(count: int, rows: int) -> str:
    """As people say it: very few as how many, else per cent."""
    percent = 100 * count / rows
    if percent < 0.01:
        return f"{count:,} of {rows:,}"
    if count < rows and percent >= 99.5:
        return "over 99 %"
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.2g} %" if percent >= 1 else f"{percent:.1g} %"
