"""The verdict of a day: every monitored column against the reference, and what they say together.

A column drifts if a change is both significant and large (two-key rule). Add a rule here when a column or a day may
get its status in a new way. Keep out the keys themselves (`two_key`, `shares`), sentences (`reasons`) and what
follows from a verdict (`effects`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mlops_assets.drift import reasons, shares, two_key
from mlops_assets.drift.facts import ColumnDrift, Distance, Monitored, ShareRise, Status, Verdict
from mlops_assets.drift.policy import DriftPolicy, Effects
from mlops_assets.drift.sample import Sample
from mlops_assets.drift.summary import summaries
from mlops_assets.drift.two_key import Comparison
from mlops_assets.drift.values import CategoryPair, NumberPair, Pair, read

# How a column's part of alpha is dealt to its tests: most to the distribution, the rest to its two shares, whose
# rises are sure by far when they are large enough to count.
DISTRIBUTION, SHARE = 0.8, 0.1


@dataclass(frozen=True)
class Case:
    """A monitored column's values on both sides, and what they are enough for."""

    column: Monitored
    pair: Pair
    least: int

    @property
    def comparable(self) -> bool:
        """Enough values on both sides."""
        return min(self.pair.reference.count, self.pair.current.count) >= self.least

    @property
    def has_rows(self) -> bool:
        """Enough rows on both sides, which is enough for the share of missing values."""
        return self.column.role == "feature" and min(self.pair.reference.rows, self.pair.current.rows) >= self.least

    @property
    def judged(self) -> bool:
        """Whether there is a test that may call it drifted."""
        return self.comparable or (self.has_rows and not self.column.optional)


def judge(
    product: str,
    day: date,
    release: int,
    reference: Sample,
    current: Sample,
    monitored: Sequence[Monitored],
    policy: DriftPolicy,
) -> Verdict:
    """Compare a day with the reference of a release. The same input gives the same verdict.

    A column with fewer than `min_rows` values on one side is insufficient; so is the day if it has fewer rows than
    that or no column that can be judged. `alpha` is shared out among the columns that can be judged that day and, in
    each, among its tests, so that it bounds the share of days without a change that are called drifted.
    """
    rows = _rows(current, monitored)
    enough = rows >= policy.min_rows
    cases = [Case(column, read(reference, current, column), policy.min_rows) for column in monitored]
    judged = [case for case in cases if enough and case.judged]
    alpha = policy.alpha / max(1, len(judged))
    columns = tuple(
        _column(case, alpha, policy) if enough and case.judged else _insufficient(case, alpha, policy.effects)
        for case in cases
    )
    status = _status(columns)
    return Verdict(
        product=product,
        day=day,
        release=release,
        status=status,
        reference_rows=_rows(reference, monitored),
        current_rows=rows,
        logged_rows=current.logged_rows,
        columns=columns,
        reasons=reasons.of_day(columns, status, rows, policy.min_rows),
    )


def _rows(sample: Sample, monitored: Sequence[Monitored]) -> int:
    return len(sample.rows if any(column.role == "feature" for column in monitored) else sample.scored)


def _column(case: Case, alpha: float, policy: DriftPolicy) -> ColumnDrift:
    """A column that can be judged: by its distribution, where there are enough values, and by its shares."""
    found = two_key.compare(case.pair, growth_only=case.column.role == "error") if case.comparable else None
    risen = _shares(case, SHARE * alpha, policy.effects)
    floor = _floor(found.distance if found else _distance(case.column), policy.effects)
    own = found.effect / floor if found and found.p_value < DISTRIBUTION * alpha else 0.0
    strength = max(own, *(shares.strength(share) for share in risen)) if risen else own
    role = case.column.role
    causes = [(shares.strength(share), reasons.of_share(share, role)) for share in risen if share.risen]
    status = Status.DRIFTED if own >= 1 or causes else Status.OK if found else Status.INSUFFICIENT
    if found and (own >= 1 or not causes):
        causes.append((own, reasons.of_change(found, case.pair, role, floor, drifted=own >= 1)))
    told = [sentence for _, sentence in sorted(causes, key=lambda cause: -cause[0])]
    if found is None:
        told.append(reasons.too_few(case.pair, role, case.least))
    return _fact(case, status, alpha, policy.effects, found, strength, risen, told)


def _insufficient(case: Case, alpha: float, effects: Effects) -> ColumnDrift:
    if case.comparable:
        told = ["The day has too few rows."]
    else:
        told = [reasons.too_few(case.pair, case.column.role, case.least)]
    return _fact(case, Status.INSUFFICIENT, alpha, effects, None, 0.0, (), told)


def _fact(
    case: Case,
    status: Status,
    alpha: float,
    effects: Effects,
    found: Comparison | None,
    strength: float,
    risen: tuple[ShareRise, ...],
    told: list[str],
) -> ColumnDrift:
    before, now = summaries(case.pair)
    distance = found.distance if found else _distance(case.column)
    return ColumnDrift(
        name=case.column.name,
        kind=case.column.kind,
        role=case.column.role,
        status=status,
        reference=before,
        current=now,
        distance=distance,
        p_value=found.p_value if found else None,
        alpha=DISTRIBUTION * alpha,
        effect=found.effect if found else None,
        floor=_floor(distance, effects),
        strength=strength,
        shares=risen,
        reasons=tuple(told),
    )


def _shares(case: Case, alpha: float, effects: Effects) -> tuple[ShareRise, ...]:
    """The shares that the column's kind has and its rows are enough for."""
    found: list[ShareRise] = []
    if case.has_rows:
        found.append(shares.missing(case.pair, effects.missing, alpha, counts=not case.column.optional))
    if case.comparable and isinstance(case.pair, NumberPair):
        only = case.column.role == "error"
        found.append(shares.out_of_range(case.pair, effects.out_of_range, alpha, growth_only=only))
    elif case.comparable and isinstance(case.pair, CategoryPair):
        found.append(shares.unseen(case.pair, effects.unseen, alpha))
    return tuple(found)


def _distance(column: Monitored) -> Distance:
    return "wasserstein" if column.kind == "number" else "total_variation"


def _floor(distance: Distance, effects: Effects) -> float:
    return effects.numbers if distance == "wasserstein" else effects.categories


def _status(columns: Sequence[ColumnDrift]) -> Status:
    """Drifted if one is, insufficient if all are, else ok."""
    found = {column.status for column in columns}
    if Status.DRIFTED in found:
        return Status.DRIFTED
    return Status.OK if Status.OK in found else Status.INSUFFICIENT
