"""What one look found, held to the contract of `metrics.py`, and as the families that `prometheus_client` writes.

Every value passes through `Sheet.put`: unknown names and labels are refused, words that the platform didn't make become
"other", a metric's series are bounded. Keep out where values come from (`collectors/`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from prometheus_client import Metric as Family
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from mlops_assets.observability.exporter.metrics import Kind, Metric

# Names of products, jobs, assets, releases, Dagster's words: no blank, no quote, nothing that could end a line.
SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:-]{0,99}", re.ASCII)
OTHER = "other"
FORMATS: dict[Kind, type[GaugeMetricFamily | CounterMetricFamily]] = {
    Kind.GAUGE: GaugeMetricFamily,
    Kind.COUNTER: CounterMetricFamily,
}

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Spread:
    """A histogram's content: how many fell into each bucket alone, the last one without an upper bound, and the sum."""

    counts: tuple[float, ...]
    total: float

    def __add__(self, other: Spread) -> Spread:
        return Spread(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)), self.total + other.total)


Value = float | Spread


def safe(word: object) -> str:
    """The word as a label's value; "other" unless it is a plain name of at most 100 characters."""
    text = str(word)
    return text if SAFE.fullmatch(text) else OTHER


class Sheet:
    """The series that one look found, and how many of each metric it had to leave out.

    The first `most` of a metric's series stay, so the important ones are put first.
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        self._left_out: dict[str, set[Labels]] = {}
        self.values: dict[str, dict[Labels, Value]] = {}

    @property
    def dropped(self) -> Counter[str]:
        """How many series of each metric were left out."""
        return Counter({name: len(labels) for name, labels in self._left_out.items()})

    def put(self, name: str, value: float | Decimal | None, /, **labels: object) -> None:
        """One value; nothing for None and for what is no finite number.

        Counters that come to the same labels add up; of gauges the first one counts. Raises ValueError for a name or
        a label that isn't in the contract.
        """
        metric, key = self._key(name, labels)
        if metric.kind is Kind.HISTOGRAM:
            raise ValueError(f"{name} is a histogram")
        if value is not None and math.isfinite(value):
            self._keep(metric, key, float(value))

    def spread(self, name: str, value: Spread, /, **labels: object) -> None:
        """A histogram's content; what comes to the same labels adds up. Raises ValueError as `put`."""
        metric, key = self._key(name, labels)
        if metric.kind is not Kind.HISTOGRAM or len(value.counts) != len(metric.buckets) + 1:
            raise ValueError(f"{name} has no {len(value.counts)} buckets")
        if math.isfinite(value.total):
            self._keep(metric, key, value)

    def families(self) -> Iterator[Family]:
        """Every metric that has a series, in the order of the contract."""
        for metric in self._metrics.values():
            if metric.name in self.values:
                yield family(metric, self.values[metric.name])

    def _key(self, name: str, labels: Mapping[str, object]) -> tuple[Metric, Labels]:
        metric = self._metrics.get(name)
        if metric is None:
            raise ValueError(f"{name}: no metric of this collector")
        if set(labels) != set(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
        return metric, tuple(safe(labels[label]) for label in metric.labels)

    def _keep(self, metric: Metric, key: Labels, value: Value) -> None:
        series = self.values.setdefault(metric.name, {})
        if key not in series and len(series) >= metric.most:
            # Not without end either: what is counted here is a stranger's choice.
            if len(left := self._left_out.setdefault(metric.name, set())) < metric.most:
                left.add(key)
            return
        before = series.get(key)
        if before is None:
            series[key] = value
        elif isinstance(before, Spread) and isinstance(value, Spread):
            series[key] = before + value
        elif metric.kind is Kind.COUNTER:
            assert isinstance(before, float)
            assert isinstance(value, float)
            series[key] = before + value


def family(metric: Metric, series: Mapping[Labels, Value]) -> Family:
    """One metric with its series, for `prometheus_client` to write."""
    if metric.kind is Kind.HISTOGRAM:
        spreads = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        bounds = [*(f"{bound:.10g}" for bound in metric.buckets), "+Inf"]
        for labels, value in series.items():
            assert isinstance(value, Spread)
            spreads.add_metric(list(labels), _cumulated(bounds, value.counts), value.total)
        return spreads
    plain = FORMATS[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in series.items():
        assert isinstance(value, float)
        plain.add_metric(list(labels), value)
    return plain


def _cumulated(bounds: Iterable[str], counts: Iterable[float]) -> list[tuple[str, float]]:
    found, total = [], 0.0
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        found.append((bound, total))
    return found
