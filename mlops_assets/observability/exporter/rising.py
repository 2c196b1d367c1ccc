"""Keeps counters that are read from rows from falling when rows are removed, also over a restart.

Prometheus takes a counter that falls for one that began again at 0 and would count all of it once more. So whatever a
counter falls by is added to it from then on. Rows that come while others are removed, between two looks, hide behind
these. Keep out what is counted.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlops_assets.observability.exporter.families import Labels, Sheet, Spread, Value
from mlops_assets.observability.exporter.metrics import METRICS, Kind

log = logging.getLogger(__name__)

MOST_KEPT = 20_000
FILE_VERSION = 1

Key = tuple[str, Labels]


class Rising:
    """What each counter was read as last, and what is added to it. Safe for threads.

    `file` is read once; `save` writes it whole. A file that can't be read or written costs nothing but the memory.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._door = threading.Lock()
        self._last: dict[Key, list[float]] = {}
        self._added: dict[Key, list[float]] = {}
        self._memory: dict[str, Any] = {}
        if file is not None:
            self._load(file)

    def lift(self, sheet: Sheet) -> None:
        """Replace the sheet's counters and histograms by values that never fall."""
        with self._door:
            for name, series in sheet.values.items():
                if METRICS[name].kind is not Kind.GAUGE:
                    for labels, value in series.items():
                        series[labels] = self._lifted((name, labels), value)
            self._forget()

    def recall(self, name: str) -> Any:
        """What a collector remembered last, as JSON took it; None if nothing."""
        with self._door:
            return self._memory.get(name)

    def remember(self, name: str, value: Any) -> None:
        """Keep something with the counters that belong to it; `value` must be fit for JSON."""
        with self._door:
            self._memory[name] = value

    def save(self) -> None:
        """Write the file, for the next start. A disk that is full is no reason to stop."""
        if self._file is None:
            return
        with self._door:
            counters = [[name, labels, last, self._added[name, labels]] for (name, labels), last in self._last.items()]
            text = json.dumps({"version": FILE_VERSION, "counters": counters, "memory": self._memory})
        partial = self._file.with_name(f".{self._file.name}.partial")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
                opened.write(text)
            os.replace(partial, self._file)
        except OSError as error:
            log.warning("counters can't be kept for the next start: %s", error.strerror)

    def _lifted(self, key: Key, value: Value) -> Value:
        now = [*value.counts, value.total] if isinstance(value, Spread) else [value]
        last, added = self._last.get(key), self._added.get(key)
        if last is None or added is None or len(last) != len(now):
            added = [0.0] * len(now)
        else:
            added = [more + max(0.0, before - new) for more, before, new in zip(added, last, now, strict=True)]
        # The newest are at the end, so that those which nobody has seen for longest are forgotten first.
        self._last.pop(key, None)
        self._last[key], self._added[key] = now, added
        lifted = [new + more for new, more in zip(now, added, strict=True)]
        return Spread(tuple(lifted[:-1]), lifted[-1]) if isinstance(value, Spread) else lifted[0]

    def _forget(self) -> None:
        for key in list(self._last)[: max(0, len(self._last) - MOST_KEPT)]:
            del self._last[key], self._added[key]

    def _load(self, file: Path) -> None:
        try:
            kept = json.loads(file.read_text())
            if kept["version"] != FILE_VERSION:
                return
            for name, labels, last, added in kept["counters"]:
                key = (str(name), tuple(str(label) for label in labels))
                self._last[key], self._added[key] = _numbers(last), _numbers(added)
            self._memory = dict(kept["memory"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._last, self._added, self._memory = {}, {}, {}
            log.warning("kept counters can't be read (%s): they begin anew", type(error).__name__)


def _numbers(values: Sequence[Any] | Mapping[Any, Any] | Iterable[Any]) -> list[float]:
    return [float(value) for value in values]
