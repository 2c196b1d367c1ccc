"""Heartbeats of the parts of Dagster's daemon: how old each is, and how many errors it tells of.

Of those parts alone that the instance needs, by Dagster's own answer: the row of one that was configured away stays in
the table and gets older for ever. Keep out what they do (`automation`).
"""

from __future__ import annotations

import time

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, Webserver, WebserverError
from mlops_assets.observability.exporter.families import Sheet

EVERY_SECONDS = 10.0
# What an instance needs changes with its configuration only.
AGAIN_SECONDS = 60.0

_HEARTBEATS = """
SELECT daemon_type, extract(epoch FROM clock_timestamp() - timestamp::timestamptz)::float8 AS age,
  jsonb_array_length(coalesce(nullif(body::jsonb -> 'errors', 'null'), '[]')) AS errors
FROM dagster.daemon_heartbeats ORDER BY timestamp DESC
"""
_REQUIRED = "{ instance { daemonHealth { allDaemonStatuses { daemonType required } } } }"


def collector(source: Source, webserver: Webserver) -> Collector:
    """Looks every ten seconds."""
    metrics = of_group("automation", only=("mlops_daemon_",))
    return Collector("daemons", metrics, EVERY_SECONDS, LookAtDaemons(source, webserver))


class LookAtDaemons:
    """Remembers which parts are needed, also while the webserver is away."""

    def __init__(self, source: Source, webserver: Webserver) -> None:
        self._source, self._webserver = source, webserver
        # None: Dagster never said, and every part counts.
        self._needed: frozenset[str] | None = None
        self._asked = 0.0

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError."""
        found = self._source.rows(_HEARTBEATS)
        self._ask()
        for row in found:
            if self._needed is None or row.daemon_type in self._needed:
                sheet.put("mlops_daemon_heartbeat_age_seconds", max(0.0, row.age), daemon=row.daemon_type)
                sheet.put("mlops_daemon_errors", row.errors, daemon=row.daemon_type)

    def _ask(self) -> None:
        if self._needed is not None and time.monotonic() - self._asked < AGAIN_SECONDS:
            return
        try:
            told = self._webserver.ask(_REQUIRED)["instance"]["daemonHealth"]["allDaemonStatuses"]
            needed = frozenset(str(one["daemonType"]) for one in told if one["required"])
        except (WebserverError, KeyError, TypeError):
            return
        self._needed, self._asked = needed, time.monotonic()
