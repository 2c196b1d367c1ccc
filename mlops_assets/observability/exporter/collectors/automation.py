"""What the parts of Dagster's daemon do: ticks of schedules and sensors, backfills; and the clock.

Keep out whether they live (`daemons`), when a schedule should have ticked (`schedules`) and code locations
(`locations`).
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, text

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.pipelines.naming import LOCATION

EVERY_SECONDS = 10.0
# The one name of all schedules of declared pipelines.
DECLARED = "declared"
OUTCOMES = ("SUCCESS", "FAILURE", "SKIPPED")
STEP = 50_000
LAST = 2**62

_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
_INSTIGATORS = """
SELECT selector_id, instigator_type AS type, status, instigator_body::jsonb -> 'origin' ->> 'job_name' AS name,
  instigator_body::jsonb #>> '{origin,external_repository_origin,repository_location_origin,location_name}' AS location
FROM dagster.instigators WHERE selector_id <> ALL(:known)
"""
_NEWEST = """
SELECT i.selector_id, i.status, extract(epoch FROM tick.timestamp::timestamptz)::float8 AS tick
FROM dagster.instigators AS i, LATERAL (
  SELECT t.timestamp FROM dagster.job_ticks AS t WHERE t.selector_id = i.selector_id ORDER BY t.timestamp DESC LIMIT 1
) AS tick
WHERE i.instigator_type <> 'SCHEDULE'
"""
_TICKS = """
SELECT selector_id, status, count(*) AS ticks, max(id) AS newest FROM dagster.job_ticks
WHERE id >= :low AND id < :high AND status <> 'STARTED' GROUP BY 1, 2
"""
# Ticks that began an hour ago are decided, or their daemon died with them.
_EDGE = """
SELECT id + 1 FROM dagster.job_ticks WHERE create_timestamp::timestamptz < now() - interval '1 hour'
ORDER BY id DESC LIMIT 1
"""
_STEP_END = """
SELECT max(id) + 1 FROM (
  SELECT id FROM dagster.job_ticks WHERE id >= :low AND id < :edge ORDER BY id LIMIT :step) AS step
"""
_BACKFILLS = "SELECT status, count(*) AS backfills FROM dagster.bulk_actions WHERE status = ANY(:unended) GROUP BY 1"
UNENDED_BACKFILLS = ["REQUESTED", "CANCELING", "FAILING"]

Key = tuple[str, str]


@dataclass(frozen=True)
class Instigator:
    """A schedule or sensor: what Dagster calls it, or one name for all that declared pipelines have."""

    name: str
    type: str


def collector(source: Source) -> Collector:
    """Looks every ten seconds."""
    metrics = of_group("automation", but=("mlops_daemon_", "mlops_schedule_", "mlops_code_location_"))
    return Collector("automation", metrics, EVERY_SECONDS, LookAtAutomation(source))


class LookAtAutomation:
    """Remembers the names of schedules and sensors, and how many of their ticks it has counted for good."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[str, Instigator] = {}
        self._settled: Counter[Key] = Counter()
        self._edge = 0

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError."""
        with self._source.asking() as connection:
            self._put_clock(sheet, connection)
            found = {row.status: row.backfills for row in rows(connection, _BACKFILLS, {"unended": UNENDED_BACKFILLS})}
            for status in UNENDED_BACKFILLS:
                sheet.put("mlops_backfills", found.get(status, 0), status=status)
            self._learn(connection)
            self._put_sensors(sheet, connection)
        self._put_ticks(sheet)

    def _put_clock(self, sheet: Sheet, connection: Connection) -> None:
        before = time.time()
        theirs = connection.execute(text(_NOW)).scalar_one()
        sheet.put("mlops_clock_skew_seconds", (before + time.time()) / 2 - theirs)

    def _learn(self, connection: Connection) -> None:
        for row in rows(connection, _INSTIGATORS, {"known": list(self._known)}):
            declared = row.location == LOCATION
            self._known[row.selector_id] = Instigator(DECLARED if declared else str(row.name), row.type)

    def _put_sensors(self, sheet: Sheet, connection: Connection) -> None:
        for row in sorted(rows(connection, _NEWEST), key=lambda row: -row.tick):
            if row.status != "STOPPED" and row.selector_id in self._known:
                sensor = self._known[row.selector_id].name
                sheet.put("mlops_sensor_last_tick_timestamp_seconds", row.tick, sensor=sensor)

    def _put_ticks(self, sheet: Sheet) -> None:
        with self._source.asking() as connection:
            edge = connection.execute(text(_EDGE)).scalar()
        while edge is not None and self._edge < edge:
            with self._source.asking() as connection:
                high = connection.execute(text(_STEP_END), {"low": self._edge, "edge": edge, "step": STEP}).scalar()
                settled = self._counted(connection, self._edge, high or edge)
            self._settled.update(settled)
            self._edge = high or edge
        with self._source.asking() as connection:
            young = self._counted(connection, self._edge, LAST)
        ticks = self._settled + young
        # Also those that there are none of: Prometheus sees only a rise from 0.
        for name in {name: None for (name, _), _ in ticks.most_common()}:
            for outcome in OUTCOMES:
                sheet.put("mlops_ticks_total", ticks[name, outcome], automation=name, outcome=outcome)

    def _counted(self, connection: Connection, low: int, high: int) -> Counter[Key]:
        found: Counter[Key] = Counter()
        for row in rows(connection, _TICKS, {"low": low, "high": high}):
            # Of something that is gone, whose name nobody keeps.
            named = self._known.get(row.selector_id)
            if named is not None:
                found[named.name, row.status] += row.ticks
        return found
