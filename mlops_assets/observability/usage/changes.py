"""Which stages got slower or bigger, or the other way round, from one week to the next, and in words.

Add a measure here when `StageUsage` gets one. Keep out where the attempts come from (`compared`). Pure.

A change counts when three things hold: the medians differ by more than a fifth, and by more than what anybody would
notice; and a rank test (Mann-Whitney) says that chance doesn't explain it, p < 0.05 after Holm's correction for all
measures of all compared stages of that product. One family for each product, so that an installation of a thousand
pipelines is no less attentive to each than one of two, at the price of an error rate for each product and not for all
together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

FEWEST = 3
RATIO = 1.2
P_VALUE = 0.05


@dataclass(frozen=True)
class Measure:
    """A column of `StageUsage`, what people call it, and the least difference that counts, in its unit.

    `times` is told with a factor that is above 1 for more; with `faster`, less is told with the inverse of it.
    """

    name: str
    title: str
    times: str
    unit: str
    least: float
    faster: str | None = None


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("wall_seconds", "time", "{} × slower", "seconds", 0.1, faster="{} × faster"),
        Measure("cpu_seconds", "CPU time", "{} × the CPU time", "seconds", 0.1),
        Measure("peak_memory_bytes", "memory", "{} × the memory", "bytes", 10e6),
        Measure("read_bytes", "bytes read", "{} × the bytes read", "bytes", 1e6),
        Measure("written_bytes", "bytes written", "{} × the bytes written", "bytes", 1e6),
    )
}


@dataclass(frozen=True)
class Compared:
    """One measure of one stage: its median and how many attempts succeeded, the week before and the last one."""

    kind: str
    product: str
    stage: str
    measure: str
    before: float
    after: float
    attempts_before: int
    attempts_after: int

    @property
    def enough(self) -> bool:
        """Whether there are attempts enough to compare."""
        return min(self.attempts_before, self.attempts_after) >= FEWEST

    @property
    def ratio(self) -> float | None:
        """Now to before; None if there was nothing before."""
        return self.after / self.before if self.before > 0 else None

    @property
    def notable(self) -> bool:
        """Whether the difference would matter, if it isn't chance."""
        if not self.enough or abs(self.after - self.before) < MEASURES[self.measure].least:
            return False
        return self.ratio is None or self.ratio > RATIO or self.ratio < 1 / RATIO


@dataclass(frozen=True)
class Change:
    """A difference that isn't chance; `p_value` is corrected. `worse`: it takes more than before."""

    compared: Compared
    p_value: float

    @property
    def worse(self) -> bool:
        """Slower or bigger."""
        return self.compared.after > self.compared.before

    @property
    def said(self) -> str:
        """In a sentence, for people."""
        one = self.compared
        return f"{one.stage} of {one.product}: {_times(one)}"


Sample = Sequence[float]


def compared(stage: tuple[str, str, str], before: Mapping[str, Sample], after: Mapping[str, Sample]) -> list[Compared]:
    """The measures of one stage (kind, product, name) that were measured in both weeks."""
    return [
        Compared(*stage, name, median(before[name]), median(after[name]), len(before[name]), len(after[name]))
        for name in MEASURES
        if before.get(name) and after.get(name)
    ]


def changes(all_compared: Iterable[Compared], samples: Mapping[Compared, tuple[Sample, Sample]]) -> list[Change]:
    """What changed, the worst ratio first within slower and bigger, then the improvements.

    `samples` (before, after) are needed of those that are notable alone; a notable one without is taken for chance.
    """
    families: dict[tuple[str, str], list[Compared]] = defaultdict(list)
    for one in all_compared:
        if one.enough:
            families[one.kind, one.product].append(one)
    found = [change for family in families.values() for change in _of_family(family, samples)]
    return sorted(found, key=_by_weight)


def holm(p_values: Sequence[float], tests: int) -> list[float]:
    """The p-values corrected for so many tests. Those that aren't given are taken for 1, which is never too few."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [1.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (tests - place)))
        corrected[index] = largest
    return corrected


def _of_family(family: Sequence[Compared], samples: Mapping[Compared, tuple[Sample, Sample]]) -> list[Change]:
    tested = [one for one in family if one.notable and one in samples]
    if not tested:
        return []
    corrected = holm([_p_value(*samples[one]) for one in tested], len(family))
    return [Change(one, p) for one, p in zip(tested, corrected, strict=True) if p < P_VALUE]


def _p_value(before: Sample, after: Sample) -> float:
    # It takes half a second to load, and most looks find nothing to test.
    from scipy.stats import mannwhitneyu

    if len(set(before)) == len(set(after)) == 1 and before[0] == after[0]:
        return 1.0
    return float(mannwhitneyu(before, after, alternative="two-sided").pvalue)


def _by_weight(change: Change) -> tuple[bool, float, str, str, str]:
    one = change.compared
    factor = one.ratio if change.worse else (1 / one.ratio if one.ratio else None)
    return not change.worse, -(factor if factor is not None else float("inf")), one.product, one.stage, one.measure


def _times(one: Compared) -> str:
    measure = MEASURES[one.measure]
    attempts = f"{one.attempts_before} and {one.attempts_after} attempts"
    span = f"({amount(one.before, measure.unit)} → {amount(one.after, measure.unit)}, {attempts})"
    if not one.ratio:
        return f"{measure.title} {span}"
    if one.ratio < 1 and measure.faster:
        return f"{measure.faster.format(_short(1 / one.ratio))} {span}"
    return f"{measure.times.format(_short(one.ratio))} {span}"


def _short(number: float) -> str:
    """Two digits, more before the point."""
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"


def amount(value: float, unit: str) -> str:
    """A figure with the unit that fits, to two digits: 3.1 s, 25 min, 640 MB."""
    steps = (
        ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
        if unit == "seconds"
        else ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
    )
    if value == 0:
        return f"0 {'s' if unit == 'seconds' else 'B'}"
    size, name = next(((size, name) for size, name in steps if value >= size), steps[-1])
    return f"{_short(value / size)} {name}"
