"""Every metric of the inference service, each labelled with product and variant.

Add a metric here and nowhere else. Keep out BentoML's own (they are off). One worker answers for itself from
its own registry; for several workers, /metrics must instead merge the files that BentoML has every worker's
values written to: `prometheus_client.multiprocess.MultiProcessCollector` on a fresh registry, gauges by
`livemax`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from inference.health import system_state

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
LABELS = ("product", "variant")


class Metrics:
    """The metrics of one product and variant, in a registry of their own."""

    def __init__(self, product: str, variant: str, folder: Path) -> None:
        who = (product, variant)
        self.registry = CollectorRegistry()
        self._who = who
        self._errors = Counter(
            "prediction_errors_total", "Requests not answered with an estimate", (*LABELS, "status"),
            registry=self.registry,
        )  # fmt: skip
        self._swaps = Counter(
            "model_swaps_total",
            "Tries to put a release in service",
            (*LABELS, "outcome"),
            registry=self.registry,
        )
        self._info = Gauge("model_info", "1 for the release that serves", (*LABELS, "version"), registry=self.registry)
        self._version: int | None = None
        self.predictions = Counter(
            "predictions_total", "Estimates given, a batch counts its rows", LABELS, registry=self.registry
        ).labels(*who)
        self.seconds = Histogram(
            "prediction_duration_seconds", "Time to answer one single request", LABELS, buckets=BUCKETS,
            registry=self.registry,
        ).labels(*who)  # fmt: skip
        self.batch_seconds = Histogram(
            "prediction_batch_duration_seconds", "Time to answer one batch", LABELS, buckets=BUCKETS,
            registry=self.registry,
        ).labels(*who)  # fmt: skip
        for outcome in ("ok", "failed"):
            self._swaps.labels(*who, outcome)
        for status in ("422", "500", "503"):
            self._errors.labels(*who, status)
        self.registry.register(_System(who, folder))
        ProcessCollector(registry=self.registry)

    def failed(self, status: int, count: int = 1) -> None:
        """Count requests, or rows of a batch, that got an error of this HTTP status."""
        self._errors.labels(*self._who, str(status)).inc(count)

    def swapped(self, outcome: Literal["ok", "failed"]) -> None:
        """Count an attempt to load another release."""
        self._swaps.labels(*self._who, outcome).inc()

    def serving(self, version: int | None) -> None:
        """Say which release serves; None: none does."""
        if self._version is not None:
            self._info.labels(*self._who, str(self._version)).set(0)
        if version is not None:
            self._info.labels(*self._who, str(version)).set(1)
        self._version = version

    def exposition(self) -> bytes:
        """All of them in Prometheus's text format."""
        return generate_latest(self.registry)


class _System(Collector):
    def __init__(self, who: tuple[str, str], folder: Path) -> None:
        self._who = who
        self._folder = folder

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, value in system_state(self._folder).items():
            gauge = GaugeMetricFamily(f"system_{name}", f"{name} of this machine", labels=LABELS)
            gauge.add_metric(self._who, value)
            yield gauge
