"""Lets every collector look again and again, each in a thread of its own, and holds what each one found last.

A look that fails, or doesn't come back, leaves what was found before; what is older than five minutes is left out, so
that nobody takes old for new. Add here what happens around a look. Keep out what is looked at (`collectors/`) and who
asks (`server`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric as Family
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from mlops_assets.observability.exporter.collector import Collector
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.observability.exporter.metrics import EXPORTER
from mlops_assets.observability.exporter.rising import Rising

log = logging.getLogger(__name__)

OLD_SECONDS = 300.0
# A look that takes longer than this counts as failed while it goes on.
LONGEST_LOOK_SECONDS = 60.0
# Also after a look that took longer than its interval.
LEAST_PAUSE_SECONDS = 0.2
END = b"# EOF\n"


@dataclass(frozen=True)
class Page:
    """Families as a registry of their own, which is what `prometheus_client` writes."""

    found: tuple[Family, ...]

    def collect(self) -> Iterator[Family]:
        """What `prometheus_client` asks for."""
        yield from self.found

    def text(self, openmetrics: bool) -> bytes:
        """In one of the two formats, without the end mark."""
        if openmetrics:
            text: bytes = generate_openmetrics(self)  # type: ignore[no-untyped-call]
            return text.removesuffix(END)
        return generate_latest(self)


class Found:
    """What a look found, written at most once in each format. `at` is by the monotonic clock."""

    def __init__(self, sheet: Sheet, at: float) -> None:
        self.at = at
        self._page = Page(tuple(sheet.families()))
        self._texts: dict[bool, bytes] = {}

    def text(self, openmetrics: bool) -> bytes:
        """In one of the two formats, without the end mark."""
        if openmetrics not in self._texts:
            self._texts[openmetrics] = self._page.text(openmetrics)
        return self._texts[openmetrics]

    def prepare(self, before: Found | None) -> None:
        """Write what was asked for of the one before, so that no scrape has to wait for it."""
        for openmetrics in list(before._texts) if before is not None else ():
            self.text(openmetrics)


class Watch(threading.Thread):
    """One collector's thread."""

    def __init__(self, collector: Collector, rising: Rising, stopping: threading.Event) -> None:
        super().__init__(name=f"look at {collector.name}", daemon=True)
        self.collector = collector
        self.found: Found | None = None
        self.looked = threading.Event()
        self.worked = False
        self.seconds = 0.0
        self.worked_at: float | None = None
        self.began: float | None = None
        self.dropped: Counter[str] = Counter()
        self._rising, self._stopping = rising, stopping
        self._told: str | None = None

    def run(self) -> None:
        """Look until told to stop."""
        while not self._stopping.is_set():
            began = time.monotonic()
            self.look()
            self._stopping.wait(max(LEAST_PAUSE_SECONDS, self.collector.every - (time.monotonic() - began)))

    def look(self) -> None:
        """Look once. Never raises: a failure is remembered and what was found before stays."""
        self.began = began = time.monotonic()
        sheet = self.collector.sheet()
        try:
            self.collector.look(sheet)
            if self.collector.rows:
                self._rising.lift(sheet)
            found = Found(sheet, time.monotonic())
            found.prepare(self.found)
        except Exception as error:  # noqa: BLE001 whatever it is, the other collectors go on
            self.worked = False
            self._tell(type(error).__name__)
        else:
            self.found, self.worked, self.worked_at = found, True, time.time()
            self.dropped.update(sheet.dropped)
            self._tell(None)
        self.seconds, self.began = time.monotonic() - began, None
        self.looked.set()

    def success(self, now: float) -> bool:
        """Whether the newest look worked and none hangs; `now` is by the monotonic clock."""
        began = self.began
        return self.worked and (began is None or now - began < LONGEST_LOOK_SECONDS)

    def text(self, openmetrics: bool, now: float) -> bytes:
        """What was found, as far as it is young enough to be told."""
        found = self.found
        if found is None or now - found.at > OLD_SECONDS + self.collector.every:
            return b""
        return found.text(openmetrics)

    def _tell(self, trouble: str | None) -> None:
        # An error's own words may hold the database's address.
        if trouble is not None and trouble != self._told:
            log.warning("%s can't be looked at (%s); trying on", self.collector.name, trouble)
        elif trouble is None and self._told is not None:
            log.info("%s can be looked at again", self.collector.name)
        self._told = trouble


class Lookout:
    """All collectors of one exporter. Nothing runs before `start`."""

    def __init__(self, collectors: Sequence[Collector], rising: Rising, clock: Callable[[], float] = time.monotonic):
        self._stopping = threading.Event()
        self._clock = clock
        self.watches = [Watch(collector, rising, self._stopping) for collector in collectors]

    def start(self) -> None:
        """Begin to look."""
        for watch in self.watches:
            watch.start()

    def stop(self) -> None:
        """Let no further look begin. Returns at once: one that hangs ends with the process."""
        self._stopping.set()

    def ready(self, seconds: float) -> bool:
        """Wait for the first look of every collector, no longer than `seconds`; whether there is anything to tell."""
        give_up = time.monotonic() + seconds
        for watch in self.watches:
            watch.looked.wait(max(0.0, give_up - time.monotonic()))
        return any(watch.found is not None for watch in self.watches)

    def text(self, openmetrics: bool) -> bytes:
        """Everything that is known now, in the text format of Prometheus or in OpenMetrics."""
        now = self._clock()
        parts = [watch.text(openmetrics, now) for watch in self.watches]
        own = Page(tuple(self._own(now).families())).text(openmetrics)
        return b"".join([*parts, own, END if openmetrics else b""])

    def _own(self, now: float) -> Sheet:
        sheet, dropped = Sheet(EXPORTER), Counter[str]()
        for watch in self.watches:
            name = watch.collector.name
            sheet.put("mlops_collector_success", watch.success(now), collector=name)
            sheet.put("mlops_collector_last_success_timestamp_seconds", watch.worked_at, collector=name)
            if watch.looked.is_set():
                sheet.put("mlops_collector_duration_seconds", watch.seconds, collector=name)
            dropped.update(watch.dropped)
        for metric, series in dropped.most_common():
            sheet.put("mlops_series_dropped_total", series, metric=metric)
        return sheet
