"""What the database says of the machinery: heartbeats, queue, runs beyond their limit, ticks, services, itself.

Each function is one look over a connection with a time limit. Add a look here when its facts are in the database. Keep
out those that ask programs or files (`programs`) and judging (`rules`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from mlops_assets.observability.health.errors import first_line
from mlops_assets.observability.health.facts import DatabaseFacts, Heartbeat, OverdueRun, Queue, Service, Slots
from mlops_assets.observability.health.runs import AD_HOC, RUN, SINGLE_ASSETS
from mlops_assets.settings import Settings

MOST_ERRORS = 3
MOST_GOING = 10
MOST_OVERDUE = 20
NAMED = {"ad_hoc": AD_HOC, "single": SINGLE_ASSETS}

# Dagster keeps UTC in columns without a zone. The age is by the database's clock.
SINCE = "extract(epoch FROM (clock_timestamp() AT TIME ZONE 'UTC') - {})::float8"
HEARTBEATS = f"SELECT daemon_type, {SINCE.format('timestamp')} AS age, body FROM dagster.daemon_heartbeats"  # noqa: S608 (of this file's constants alone)
QUEUED = f"""
    SELECT q.job, count(*) OVER () AS queued, {SINCE.format("q.created")} AS waited
    FROM (SELECT named.job, r.create_timestamp AS created FROM ({RUN} WHERE r.status = 'QUEUED') AS named
          JOIN dagster.runs r USING (run_id)) AS q ORDER BY q.created LIMIT 1
"""  # noqa: S608 (of this file's constants alone)
GOING = f"""
    SELECT job, count(*) AS count
    FROM ({RUN} WHERE r.status IN ('STARTING', 'STARTED', 'CANCELING')) AS going
    GROUP BY job ORDER BY count(*) DESC, job
"""  # noqa: S608 (of this file's constants alone)
GOING_TAGGED = """
    SELECT count(*) FILTER (WHERE t.key = 'mlops/declared' AND t.value = 'pipeline') AS pipelines,
           count(*) FILTER (WHERE t.key = 'mlops/training') AS trainings
    FROM dagster.runs r JOIN dagster.run_tags t ON t.run_id = r.run_id
    WHERE r.status IN ('STARTING', 'STARTED', 'CANCELING') AND t.key IN ('mlops/declared', 'mlops/training')
"""
QUEUED_TAGGED = """
    SELECT DISTINCT t.key FROM dagster.runs r JOIN dagster.run_tags t ON t.run_id = r.run_id
    WHERE r.status = 'QUEUED' AND t.key IN ('mlops/declared', 'mlops/training')
"""
OVERDUE = f"""
    WITH going AS ({RUN} WHERE r.status = 'STARTED' AND r.start_time IS NOT NULL)
    SELECT g.run_id, g.job,
           extract(epoch FROM clock_timestamp()) - g.start_time
             - CASE WHEN t.value ~ '^[0-9]{{1,9}}([.][0-9]+)?$' THEN t.value::float8 ELSE :limit END AS seconds
    FROM going g LEFT JOIN dagster.run_tags t ON t.run_id = g.run_id AND t.key = 'dagster/max_runtime'
    ORDER BY seconds DESC LIMIT :most
"""  # noqa: S608 (of this file's constants alone)
TICKS = f"""
    SELECT asked.id, t.status, {SINCE.format("t.timestamp")} AS age, t.tick_body AS body
    FROM unnest(CAST(:ids AS text[])) AS asked (id)
    CROSS JOIN LATERAL (SELECT status, timestamp, tick_body FROM dagster.job_ticks
                        WHERE selector_id = asked.id AND status <> 'STARTED' ORDER BY timestamp DESC LIMIT :most) AS t
    ORDER BY asked.id, t.timestamp DESC
"""  # noqa: S608 (of this file's constants alone)
# Of a sensor, which looks every few seconds, one failed tick is no issue yet.
TICKS_READ = 3
SERVICES = """
    SELECT name, CASE WHEN healthy THEN NULL ELSE extract(epoch FROM clock_timestamp() - down_since)::float8 END AS down
    FROM mlops.service_probe WHERE asked_at > clock_timestamp() - make_interval(secs => :recent) ORDER BY name
"""
DATABASE = """
    SELECT pg_database_size(current_database()) AS size,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
           current_setting('max_connections')::int AS most,
           coalesce((SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()
                       AND backend_type = 'client backend'), 0)::float8 AS oldest
"""
# A service that nobody asked for longer isn't known any more: its row stays from an earlier installation.
RECENT_SECONDS = 300.0


def heartbeats(connection: Connection, required: Collection[str]) -> tuple[Heartbeat, ...]:
    """Of each part of the daemon that this instance needs, by name."""
    told = {row.daemon_type: row for row in connection.execute(text(HEARTBEATS))}
    found = []
    for daemon in sorted(required):
        row = told.get(daemon)
        errors = _heartbeat_errors(row.body) if row is not None else ()
        found.append(Heartbeat(daemon=daemon, age=max(0.0, row.age) if row is not None else None, errors=errors))
    return tuple(found)


def _heartbeat_errors(body: str | None) -> tuple[str, ...]:
    told = _json(body).get("errors") or []
    lines = [first_line(str(one.get("message") or "")) for one in told if isinstance(one, dict)]
    return tuple(line or "an error without words" for line in lines[:MOST_ERRORS])


def _json(body: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(body or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def queue(connection: Connection, settings: Settings) -> Queue:
    """Runs that wait and those that go; of the limits, those that hold for the waiting ones."""
    oldest = connection.execute(text(QUEUED), NAMED).one_or_none()
    going = [(first_line(row.job), row.count) for row in connection.execute(text(GOING), NAMED)]
    tagged = connection.execute(text(GOING_TAGGED)).one()
    waiting = set(connection.scalars(text(QUEUED_TAGGED)))
    slots = [Slots(limit="runs", most=settings.max_concurrent_runs, used=sum(count for _, count in going))]
    if "mlops/declared" in waiting:
        most = settings.max_concurrent_pipeline_runs
        slots.append(Slots(limit="runs of declared pipelines", most=most, used=tagged.pipelines))
    if "mlops/training" in waiting:
        slots.append(Slots(limit="trainings", most=settings.max_concurrent_trainings, used=tagged.trainings))
    return Queue(
        queued=oldest.queued if oldest else 0,
        oldest_seconds=max(0.0, oldest.waited) if oldest else 0,
        oldest_job=first_line(oldest.job) if oldest else "",
        slots=tuple(slots),
        going=tuple(going[:MOST_GOING]),
    )


def overdue(connection: Connection, settings: Settings) -> tuple[OverdueRun, ...]:
    """Started runs beyond their time limit, the latest first; none that is in time."""
    asked = {**NAMED, "limit": float(settings.run_timeout_seconds), "most": MOST_OVERDUE}
    rows = connection.execute(text(OVERDUE), asked)
    return tuple(
        OverdueRun(run_id=row.run_id, job=first_line(row.job), seconds=row.seconds) for row in rows if row.seconds > 0
    )


@dataclass(frozen=True)
class Ticks:
    """The newest tick of a schedule or sensor: its age, and how many in a row failed up to it (3 at most)."""

    age: float
    failures: int = 0
    error: str = ""


def newest_ticks(connection: Connection, selectors: Collection[str]) -> dict[str, Ticks]:
    """Of each schedule or sensor that has ticked, by Dagster's selector id."""
    found: dict[str, Ticks] = {}
    ended: set[str] = set()
    for row in connection.execute(text(TICKS), {"ids": sorted(selectors), "most": TICKS_READ}):
        failed = row.status == "FAILURE"
        if row.id not in found:
            found[row.id] = Ticks(max(0.0, row.age), int(failed), _tick_error(row.body) if failed else "")
        elif failed and row.id not in ended:
            found[row.id] = replace(found[row.id], failures=found[row.id].failures + 1)
        if not failed:
            ended.add(row.id)
    return found


def _tick_error(body: str | None) -> str:
    error = _json(body).get("error")
    while isinstance(error, dict) and isinstance(error.get("cause"), dict):
        error = error["cause"]
    said = str(error.get("message") or "") if isinstance(error, dict) else ""
    return first_line(said) or "no error was recorded"


def services(connection: Connection) -> tuple[Service, ...]:
    """Services that the notifier asks, by name; those it was told to ask within the last minutes."""
    rows = connection.execute(text(SERVICES), {"recent": RECENT_SECONDS})
    return tuple(Service(name=row.name, down_seconds=None if row.down is None else max(0, row.down)) for row in rows)


def database(connection: Connection) -> DatabaseFacts:
    """How long the simplest question takes, how far the clocks are apart, sizes and connections."""
    began, at = time.perf_counter(), time.time()
    theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    answer = time.perf_counter() - began
    row = connection.execute(text(DATABASE)).one()
    return DatabaseFacts(
        answer_seconds=answer,
        size=row.size,
        connections=row.connections,
        most_connections=row.most,
        oldest_transaction=max(0.0, row.oldest),
        skew=at + answer / 2 - theirs.timestamp(),
    )
