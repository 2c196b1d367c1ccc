"""A collector: which metrics it fills, how often it looks, and the look itself.

Keep out what is done with what it found (`watching`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.observability.exporter.metrics import GROUPS, Metric

Look = Callable[[Sheet], None]


@dataclass(frozen=True)
class Collector:
    """`look` fills a sheet, `every` seconds; whatever it raises makes the look a failed one.

    `rows`: its counters come from rows of the database, which somebody may remove; they are kept from falling.
    """

    name: str
    metrics: tuple[Metric, ...]
    every: float
    look: Look
    rows: bool = True
    sheet: Callable[[], Sheet] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sheet", lambda: Sheet(self.metrics))


def of_group(group: str, *, only: Iterable[str] = (), but: Iterable[str] = ()) -> tuple[Metric, ...]:
    """Metrics of a group: those whose names begin with one of `only` if given, without those of `but`."""
    first, without = tuple(only), tuple(but)
    return tuple(
        metric
        for metric in GROUPS[group]
        if (not first or metric.name.startswith(first)) and not (without and metric.name.startswith(without))
    )
