"""Sentences that say what changed in a column and on a day, from what to what and how sure.

Add a sentence here when a verdict has a new cause. Keep out verdicts themselves (`judge`) and tables (`shown`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlops_assets.drift.facts import ColumnDrift, Role, ShareRise, Status
from mlops_assets.drift.shown import number, p_value
from mlops_assets.drift.two_key import Comparison, Move
from mlops_assets.drift.values import Categories, CategoryPair, NumberPair, Numbers, Pair

# What the reference of a column is: features have training rows, estimates and errors those held out of training.
COMPARED_TO: dict[Role, str] = {"feature": "in training", "prediction": "on hold-out rows", "error": "on hold-out rows"}
NAMED = 3
LONGEST = 40
SPREAD = 1.1  # ratio of standard deviations that is worth a sentence


def of_change(found: Comparison, pair: Pair, role: Role, floor: float, *, drifted: bool) -> str:
    """What the comparison of a column found, for drift and for none."""
    unit = " sd" if found.distance == "wasserstein" else ""
    keys = f"(distance {number(found.effect)}{unit}, limit {number(floor)}; {_p(found.p_value)})"
    then = COMPARED_TO[role]
    if isinstance(pair, CategoryPair):
        words = _mixed(found, pair, then) if drifted else _shared(_commonest(pair.reference), pair, then)
    elif found.move is None:
        words = _constant(pair, then)
    else:
        words = _moved(found.move, found.effect, pair, then) if drifted else _middles(found.move, pair, moved=False)
    return f"{words} {keys}." if drifted else f"Like {then}: {words} {keys}."


def of_share(rise: ShareRise, role: Role) -> str:
    """A share that has risen."""
    then = COMPARED_TO[role]
    examples = (
        f" ({', '.join(_short(name) for name in rise.examples[:NAMED])}{' …' if len(rise.examples) > NAMED else ''})"
    )
    seen, expected = percent(rise.seen), percent(rise.expected)
    keys = f"(limit +{rise.limit * 100:g} points; {_p(rise.p_value)})"
    if rise.name == "missing":
        return f"{seen} of rows have no value, {expected} {then} {keys}."
    if rise.name == "unseen":
        return f"{seen} of values don't occur {then}{examples}, {expected} would be usual {keys}."
    return f"{seen} of values are outside the range {then}{examples}, {expected} would be usual {keys}."


def too_few(pair: Pair, role: Role, least: int) -> str:
    """Why a column can't be judged."""
    if pair.reference.count < least:
        return f"There are {pair.reference.count:,} values {COMPARED_TO[role]}, {least:,} are needed."
    return f"There are {pair.current.count:,} values to compare, {least:,} are needed."


def of_day(columns: Sequence[ColumnDrift], status: Status, rows: int, least: int) -> tuple[str, ...]:
    """The day in one or two sentences."""
    if rows < least:
        return (f"There are {rows:,} rows, a verdict needs {least:,}.",)
    if status is Status.INSUFFICIENT:
        return ("No column has enough values for a verdict.",)
    judged = [column for column in columns if column.status is not Status.INSUFFICIENT]
    left_out = [column.name for column in columns if column.status is Status.INSUFFICIENT]
    few = f" Too few values to judge {_listed(left_out)}." if left_out else ""
    drifted = sorted((c for c in judged if c.status is Status.DRIFTED), key=lambda column: -column.strength)
    if not drifted:
        return (f"No drift in {_columns(len(judged))}.{few}",)
    count = f"{len(drifted)} of {_columns(len(judged))} drifted: {_listed([column.name for column in drifted])}."
    worst = drifted[0]
    return f"{count}{few}", f"{worst.name}, at {worst.strength:.1f} times its limit: {worst.reasons[0]}"


def percent(value: float) -> str:
    """A share as people write it: whole per cent, one digit below 1 %."""
    if 0 < value < 0.0005:
        return "< 0.1 %"
    return f"{value * 100:.1f} %" if 0 < value < 0.01 else f"{value * 100:.0f} %"


def _moved(move: Move, effect: float, pair: NumberPair, then: str) -> str:
    """Larger, smaller, wider, narrower or otherwise different, with the figures that show it."""
    shift = (move.means[1] - move.means[0]) / move.spreads[0]
    if abs(shift) >= effect / 2:
        return f"{'Larger' if shift > 0 else 'Smaller'} than {then}: {_middles(move, pair, moved=True)}"
    middle = f"middle half {_middle_half(pair.current)} instead of {_middle_half(pair.reference)}"
    if move.spreads[1] >= SPREAD * move.spreads[0]:
        return f"More spread out than {then}: {middle}"
    if move.spreads[1] * SPREAD <= move.spreads[0]:
        return f"Less spread out than {then}: {middle}"
    return f"Otherwise distributed than {then}: {middle}"


def _middles(move: Move, pair: NumberPair, *, moved: bool) -> str:
    """Both medians; the means where the medians are alike or moved the other way."""
    medians = _quantile(pair.reference, 0.5), _quantile(pair.current, 0.5)
    agree = (medians[1] - medians[0]) * (move.means[1] - move.means[0]) > 0 or not moved
    differ = number(medians[0]) != number(medians[1])
    name, (before, now) = ("median", medians) if agree and differ else ("mean", move.means)
    return f"{name} {number(now)} {'instead of' if moved else 'beside'} {number(before)}"


def _middle_half(side: Numbers) -> str:
    return f"{number(_quantile(side, 0.25))} … {number(_quantile(side, 0.75))}"


def _quantile(side: Numbers, which: float) -> float:
    return float(np.quantile(side.present, which))


def _constant(pair: NumberPair, then: str) -> str:
    value = _quantile(pair.reference, 0.5)
    before, now = (float((side.present != value).mean()) for side in (pair.reference, pair.current))
    return f"{percent(now)} of values aren't {number(value)}, {percent(before)} {then}"


def _mixed(found: Comparison, pair: CategoryPair, then: str) -> str:
    """The value whose share changed most; where it is a small part of the change, that many changed."""
    names = sorted({*pair.reference.counts, *pair.current.counts})
    changes = {name: pair.current.share(name) - pair.reference.share(name) for name in names}
    name = max(changes, key=lambda value: (abs(changes[value]), changes[value]))
    words = _shared(name, pair, then)
    return words if abs(changes[name]) >= found.effect / 2 else f"Many values changed their share, most of all: {words}"


def _shared(name: str, pair: CategoryPair, then: str) -> str:
    now, before = pair.current.share(name), pair.reference.share(name)
    return f"{percent(now)} of values are '{_short(name)}', {percent(before)} {then}"


def _commonest(side: Categories) -> str:
    return max(side.counts, key=lambda name: (side.counts[name], name))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _p(value: float) -> str:
    shown = p_value(value)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
