"""Every metric of the inference service, each labelled with product and variant.

Add a metric here and nowhere else. Keep out BentoML's own (they are off). The variant is the label of what
serves at the moment that is counted, never a setting: a promoted candidate's answers count as production's.
One worker answers for itself from its own registry; for several workers, /metrics must instead merge the files
that BentoML has every worker's values written to: `prometheus_client.multiprocess.MultiProcessCollector` on a
fresh registry, gauges by `livemax`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from inference.health import system_state
from inference.record import Journal
from inference.served import Served

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
LABELS = ("product", "variant")
Family = GaugeMetricFamily | CounterMetricFamily


@dataclass(frozen=True)
class Arm:
    """What is counted at every prediction under one label."""

    predictions: Counter
    seconds: Histogram
    batch_seconds: Histogram


class Metrics:
    """The metrics of one product, in a registry of their own, under the label that `served` has at the moment."""

    def __init__(self, product: str, served: Served, folder: Path, journal: Journal | None = None) -> None:
        self.registry = registry = CollectorRegistry()
        self._product = product
        self._served = served
        self._errors = Counter(
            "prediction_errors_total", "Requests not answered with an estimate", (*LABELS, "status"), registry=registry
        )
        self._feedback = Counter("feedback_total", "Feedback taken", (*LABELS, "type"), registry=registry)
        self._swaps = Counter(
            "model_swaps_total", "Tries to put a release in service", (*LABELS, "outcome"), registry=registry
        )
        self._info = Gauge("model_info", "1 for the release that serves", (*LABELS, "version"), registry=registry)
        self._shown: tuple[str, str] | None = None
        self._predictions = Counter(
            "predictions_total", "Estimates given, a batch counts its rows", LABELS, registry=registry
        )
        self._seconds = Histogram(
            "prediction_duration_seconds", "Time to answer one single request", LABELS, buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        self._batch_seconds = Histogram(
            "prediction_batch_duration_seconds", "Time to answer one batch", LABELS, buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        self._arms: dict[str, Arm] = {}
        self.arm(served.label)
        for outcome in ("ok", "failed"):
            self._swaps.labels(*self._who(), outcome)
        for status in ("422", "500", "503"):
            self._errors.labels(*self._who(), status)
        registry.register(_Observed(self._who, lambda: _system(folder)))
        if journal is not None:
            registry.register(_Observed(self._who, lambda: _journal(journal)))
        ProcessCollector(registry=registry)

    def _who(self) -> tuple[str, str]:
        return self._product, self._served.label

    def arm(self, label: str) -> Arm:
        """The counters of the answers under one label."""
        found = self._arms.get(label)
        if found is None:
            who = (self._product, label)
            found = Arm(self._predictions.labels(*who), self._seconds.labels(*who), self._batch_seconds.labels(*who))
            self._arms[label] = found
        return found

    def failed(self, status: int, count: int = 1) -> None:
        """Count requests, or rows of a batch, that got an error of this HTTP status."""
        self._errors.labels(*self._who(), str(status)).inc(count)

    def fed_back(self, kind: str) -> None:
        """Count one feedback of this type."""
        self._feedback.labels(*self._who(), kind).inc()

    def swapped(self, outcome: Literal["ok", "failed"]) -> None:
        """Count an attempt to load another release."""
        self._swaps.labels(*self._who(), outcome).inc()

    def serving(self, version: int | None) -> None:
        """Say which release serves from now on, under the present label; None: none does."""
        if self._shown is not None:
            self._info.labels(self._product, *self._shown).set(0)
        self._shown = None if version is None else (self._served.label, str(version))
        if self._shown is not None:
            self._info.labels(self._product, *self._shown).set(1)

    def exposition(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self.registry)


class _Observed(Collector):
    """Values that are read when they are asked for."""

    def __init__(self, who: Callable[[], tuple[str, str]], observe: Callable[[], list[tuple[Family, float]]]) -> None:
        self._who = who
        self._observe = observe

    def describe(self) -> Iterator[Family]:
        return iter(())

    def collect(self) -> Iterator[Family]:
        who = self._who()
        for family, value in self._observe():
            family.add_metric(who, value)
            yield family


def _system(folder: Path) -> list[tuple[Family, float]]:
    return [
        (GaugeMetricFamily(f"system_{name}", f"{name} of this machine", labels=LABELS), value)
        for name, value in system_state(folder).items()
    ]


def _journal(journal: Journal) -> list[tuple[Family, float]]:
    state = journal.state()
    backlog = GaugeMetricFamily("journal_backlog_bytes", "Logged and not yet in the database", labels=LABELS)
    buffered = GaugeMetricFamily("journal_buffered_lines", "Held in memory: the disk takes none", labels=LABELS)
    lost = CounterMetricFamily("journal_lost_lines", "Log lines lost for want of disk and memory", labels=LABELS)
    return [(backlog, state.backlog_bytes), (buffered, state.buffered_lines), (lost, state.lost_lines)]
