"""How punctual schedules are: how late the newest tick came, and how late the next one is.

When the next one is due is Dagster's own answer, by its webserver: cron expressions, time zones and their gaps are its
matter. An answer holds until the schedule has ticked, also while the webserver is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.automation import DECLARED
from mlops_assets.observability.exporter.collectors.source import Source, Webserver, WebserverError
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.pipelines.naming import LOCATION

EVERY_SECONDS = 10.0
# Of one question; the others' turn comes at the next look.
MOST_ASKED = 50
# A schedule that Dagster doesn't know, because its location doesn't load or it is gone, is asked for again after this.
AGAIN_SECONDS = 60.0

_SCHEDULES = """
SELECT i.selector_id, extract(epoch FROM now())::float8 AS now, body -> 'origin' ->> 'job_name' AS name,
  body #>> '{origin,external_repository_origin,repository_name}' AS repository,
  body #>> '{origin,external_repository_origin,repository_location_origin,location_name}' AS location,
  (body #>> '{job_specific_data,start_timestamp}')::float8 AS started,
  extract(epoch FROM tick.timestamp::timestamptz)::float8 AS tick,
  extract(epoch FROM tick.create_timestamp - tick.timestamp)::float8 AS delay
FROM (SELECT *, instigator_body::jsonb AS body FROM dagster.instigators
      WHERE instigator_type = 'SCHEDULE' AND status <> 'STOPPED') AS i
LEFT JOIN LATERAL (
  SELECT t.timestamp, t.create_timestamp FROM dagster.job_ticks AS t
  WHERE t.selector_id = i.selector_id ORDER BY t.timestamp DESC LIMIT 1
) AS tick ON true
ORDER BY tick.timestamp DESC NULLS LAST
"""
_NEXT = """s{n}: scheduleOrError(scheduleSelector: $s{n}) {{
  ... on Schedule {{ futureTicks(cursor: $c{n}, limit: 1) {{ results {{ timestamp }} }} }} }}"""


@dataclass(frozen=True)
class Due:
    """When a schedule is due after the tick at `since`, all in seconds since 1970; None: Dagster doesn't know it."""

    since: float
    at: float | None
    asked: float


def collector(source: Source, webserver: Webserver) -> Collector:
    """Looks every ten seconds."""
    metrics = of_group("automation", only=("mlops_schedule_",))
    return Collector("schedules", metrics, EVERY_SECONDS, LookAtSchedules(source, webserver))


class LookAtSchedules:
    """Remembers when each schedule is due."""

    def __init__(self, source: Source, webserver: Webserver) -> None:
        self._source, self._webserver = source, webserver
        self._due: dict[str, Due] = {}

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError; a webserver that doesn't answer only leaves unknown what isn't known yet."""
        found = self._source.rows(_SCHEDULES)
        self._due = {row.selector_id: self._due[row.selector_id] for row in found if row.selector_id in self._due}
        self._ask([row for row in found if self._unknown(row)][:MOST_ASKED])
        delays: dict[str, float] = {}
        late: dict[str, float] = {}
        for row in found:
            # Of all declared pipelines' schedules, the worst.
            name = DECLARED if row.location == LOCATION else row.name
            if row.delay is not None:
                delays[name] = max(delays.get(name, 0.0), row.delay)
            due = self._due.get(row.selector_id)
            if due is not None and due.at is not None:
                late[name] = max(late.get(name, 0.0), row.now - due.at if due.since == _since(row) else 0.0)
        for name, seconds in delays.items():
            sheet.put("mlops_schedule_delay_seconds", seconds, schedule=name)
        for name, seconds in late.items():
            sheet.put("mlops_schedule_overdue_seconds", seconds, schedule=name)

    def _unknown(self, row: Row[Any]) -> bool:
        due = self._due.get(row.selector_id)
        if due is None or due.since != _since(row):
            return True
        return due.at is None and row.now - due.asked > AGAIN_SECONDS

    def _ask(self, asked: Sequence[Row[Any]]) -> None:
        if not asked:
            return
        variables: dict[str, Any] = {}
        for n, row in enumerate(asked):
            variables[f"s{n}"] = {
                "repositoryName": row.repository,
                "repositoryLocationName": row.location,
                "scheduleName": row.name,
            }
            # The tick itself would be the first answer.
            variables[f"c{n}"] = _since(row) + 1
        declared = ", ".join(f"$s{n}: ScheduleSelector!, $c{n}: Float!" for n in range(len(asked)))
        document = f"query({declared}) {{ {' '.join(_NEXT.format(n=n) for n in range(len(asked)))} }}"
        try:
            answer = self._webserver.ask(document, variables)
        except WebserverError:
            return
        for n, row in enumerate(asked):
            self._due[row.selector_id] = Due(_since(row), _first(answer.get(f"s{n}")), row.now)


def _since(row: Row[Any]) -> float:
    """From when on the next tick is awaited: the newest one, or when the schedule was turned on."""
    return max(row.tick or 0.0, row.started or 0.0)


def _first(answer: Any) -> float | None:
    ticks = ((answer or {}).get("futureTicks") or {}).get("results") or []
    return float(ticks[0]["timestamp"]) if ticks else None
