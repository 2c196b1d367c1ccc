"""What Dagster's own tables say of the runs of some hours: how many ended how, and which stages failed with what.

Read from the tables, so that runs count whose process died, that wait or that were never started. Every statement has
bound parameters, the connection's time limit, and a bound on what it brings. Keep out judging (`judge`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from mlops_assets.observability.health.errors import UNREADABLE, first_line, groups, line_of_event
from mlops_assets.observability.health.facts import FailurePatterns, HourRuns, JobRuns, RunMetrics, StageFailures

MOST_JOBS = 50
MOST_STAGES = 50
MOST_ERRORS = 500
# An event beyond this isn't fetched: it would be one stage's megabytes of traceback.
LONGEST_EVENT = 300_000
# Dagster's name for materializing assets without a job of their own.
AD_HOC, SINGLE_ASSETS = "__", "a run of single assets"
PIPELINES = "pipelines"
# A run's row changes again after its end (tags, a late report), never long before it.
MARGIN = timedelta(hours=1)

# What a run is told by: declared pipelines have no job of their own.
RUN = """
    SELECT r.run_id, r.status, r.start_time, r.end_time,
           coalesce('pipeline ' || p.value, CASE WHEN starts_with(r.pipeline_name, :ad_hoc) THEN :single
                                                 ELSE r.pipeline_name END) AS job
    FROM dagster.runs r
    LEFT JOIN dagster.run_tags p ON p.run_id = r.run_id AND p.key = 'mlops/pipeline_name'
"""
ENDED = f"""{RUN}
    WHERE r.status IN ('SUCCESS', 'FAILURE', 'CANCELED') AND r.update_timestamp >= :margin
      AND r.end_time > :since AND r.end_time <= :until AND r.run_id <> :own
"""
BY_JOB = f"""
    WITH ended AS ({ENDED}), last AS (
        SELECT job, max(end_time) AS success FROM ended WHERE status = 'SUCCESS' GROUP BY job
    )
    SELECT e.job, count(*) FILTER (WHERE status = 'SUCCESS') AS success,
           count(*) FILTER (WHERE status = 'FAILURE') AS failed,
           count(*) FILTER (WHERE status = 'CANCELED') AS canceled,
           count(*) FILTER (WHERE status = 'FAILURE' AND end_time > coalesce(l.success, 0)) AS in_a_row,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY end_time - start_time) AS seconds
    FROM ended e LEFT JOIN last l USING (job) GROUP BY e.job
"""  # noqa: S608 (of this file's constants alone)
BY_HOUR = f"""
    WITH ended AS ({ENDED})
    SELECT least(:hours - 1, floor((end_time - :since) / 3600))::int AS hour,
           count(*) FILTER (WHERE status = 'SUCCESS') AS success,
           count(*) FILTER (WHERE status = 'FAILURE') AS failed,
           count(*) FILTER (WHERE status = 'CANCELED') AS canceled
    FROM ended GROUP BY 1
"""  # noqa: S608 (of this file's constants alone)
OPEN = f"""
    SELECT job, count(*) FILTER (WHERE status IN ('QUEUED', 'NOT_STARTED')) AS queued,
           count(*) FILTER (WHERE status NOT IN ('QUEUED', 'NOT_STARTED')) AS running
    FROM ({RUN} WHERE r.status IN ('QUEUED', 'NOT_STARTED', 'MANAGED', 'STARTING', 'STARTED', 'CANCELING')
          AND r.run_id <> :own) AS open GROUP BY job
"""  # noqa: S608 (of this file's constants alone)
RETRIED = f"""
    WITH ended AS ({ENDED})
    SELECT count(*) FROM ended e JOIN dagster.run_tags t
      ON t.run_id = e.run_id AND t.key = 'dagster/will_retry' AND t.value = 'true' WHERE e.status = 'FAILURE'
"""  # noqa: S608 (of this file's constants alone)
# The steps of jobs that had a failed one: others have no share to tell.
BY_STEP = f"""
    WITH ended AS ({ENDED}), steps AS (
        SELECT e.job, s.step_key, s.dagster_event_type AS kind, count(*) AS count
        FROM ended e JOIN dagster.event_logs s ON s.run_id = e.run_id
        WHERE s.dagster_event_type IN ('STEP_SUCCESS', 'STEP_FAILURE', 'STEP_UP_FOR_RETRY')
          AND s.step_key IS NOT NULL GROUP BY 1, 2, 3
    )
    SELECT job, step_key, coalesce(sum(count) FILTER (WHERE kind = 'STEP_FAILURE'), 0)::int AS failures,
           coalesce(sum(count) FILTER (WHERE kind = 'STEP_UP_FOR_RETRY'), 0)::int AS retries,
           sum(count)::int AS attempts
    FROM steps GROUP BY job, step_key HAVING sum(count) FILTER (WHERE kind = 'STEP_FAILURE') > 0
    ORDER BY failures DESC, job, step_key
"""  # noqa: S608 (of this file's constants alone)
EVENT = "CASE WHEN length(s.event) <= :longest THEN s.event END AS event"
STEP_ERRORS = f"""
    WITH ended AS ({ENDED})
    SELECT e.job, s.step_key, e.run_id, e.end_time, {EVENT}
    FROM ended e JOIN dagster.event_logs s ON s.run_id = e.run_id
    WHERE e.status = 'FAILURE' AND s.dagster_event_type = 'STEP_FAILURE' ORDER BY s.id DESC LIMIT :most
"""  # noqa: S608 (of this file's constants alone)
OUTSIDE = f"""
    WITH ended AS ({ENDED})
    SELECT e.job, e.run_id, e.end_time, count(*) OVER () AS of_all, s.event
    FROM ended e
    LEFT JOIN LATERAL (SELECT {EVENT} FROM dagster.event_logs s WHERE s.run_id = e.run_id
                         AND s.dagster_event_type = 'PIPELINE_FAILURE' ORDER BY s.id DESC LIMIT 1) s ON true
    WHERE e.status = 'FAILURE' AND NOT EXISTS (SELECT FROM dagster.event_logs f WHERE f.run_id = e.run_id
                                                 AND f.dagster_event_type = 'STEP_FAILURE')
    ORDER BY e.end_time DESC LIMIT :most
"""  # noqa: S608 (of this file's constants alone)


def run_metrics(connection: Connection, now: datetime, hours: int, own_run: str = "") -> RunMetrics:
    """Runs that ended in the `hours` before `now` (aware), and those that are open; `own_run` is left out.

    Raises SQLAlchemyError.
    """
    asked = _window(now, hours, own_run)
    jobs = {row.job: dict(row._mapping) for row in connection.execute(text(BY_JOB), asked)}
    for row in connection.execute(text(OPEN), {name: asked[name] for name in ("own", "ad_hoc", "single")}):
        jobs[row.job] = {**jobs.get(row.job, {"job": row.job}), "running": row.running, "queued": row.queued}
    counted = [JobRuns.model_validate({**job, "job": first_line(job["job"])}) for job in jobs.values()]
    counted.sort(key=lambda job: (-job.failed, -job.total, job.job))
    began = now - timedelta(hours=hours)
    by_hour = {row.hour: row for row in connection.execute(text(BY_HOUR), {**asked, "hours": hours})}
    return RunMetrics(
        hours=hours,
        until=now,
        **{name: sum(getattr(job, name) for job in counted) for name in _COUNTS},
        retried=connection.scalar(text(RETRIED), asked) or 0,
        jobs=tuple(counted[:MOST_JOBS]),
        more_jobs=max(0, len(counted) - MOST_JOBS),
        hours_of=tuple(_hour(began + timedelta(hours=place), by_hour.get(place)) for place in range(hours)),
    )


_COUNTS = ("success", "failed", "canceled", "running", "queued")


def _hour(at: datetime, row: Row[Any] | None) -> HourRuns:
    if row is None:
        return HourRuns(at=at)
    return HourRuns(at=at, success=row.success, failed=row.failed, canceled=row.canceled)


def failure_patterns(connection: Connection, now: datetime, hours: int, own_run: str = "") -> FailurePatterns:
    """Which stages failed in the `hours` before `now`, how often, with which errors; runs outside of any stage too.

    Errors are those of the newest 500 failed stages and 500 runs. Raises SQLAlchemyError.
    """
    asked = _window(now, hours, own_run)
    few = {**asked, "most": MOST_ERRORS, "longest": LONGEST_EVENT}
    errors: dict[tuple[str, str], list[tuple[str, str, datetime]]] = {}
    for row in connection.execute(text(STEP_ERRORS), few):
        errors.setdefault(stage_of(row.job, row.step_key), []).append(_error(row))
    tries: dict[tuple[str, str], list[int]] = {}
    for row in connection.execute(text(BY_STEP), asked):
        same = tries.setdefault(stage_of(row.job, row.step_key), [0, 0, 0])
        tries[stage_of(row.job, row.step_key)] = [
            old + new for old, new in zip(same, (row.failures, row.attempts, row.retries), strict=True)
        ]
    for row in connection.execute(text(OUTSIDE), few):
        same = tries.setdefault((row.job, ""), [0, 0, 0])
        same[0], same[1] = same[0] + 1, same[1] + 1
        errors.setdefault((row.job, ""), []).append(_error(row))
    stages = [
        StageFailures(
            owner=first_line(owner),
            stage=first_line(stage),
            failures=failures,
            attempts=attempts,
            retries=retries,
            errors=groups(errors.get((owner, stage), ())),
        )
        for (owner, stage), (failures, attempts, retries) in tries.items()
    ]
    stages.sort(key=lambda one: (-one.failures, one.title))
    return FailurePatterns(
        hours=hours,
        failures=sum(stage.failures for stage in stages),
        read=sum(map(len, errors.values())),
        stages=tuple(stages[:MOST_STAGES]),
        more_stages=max(0, len(stages) - MOST_STAGES),
    )


def _window(now: datetime, hours: int, own_run: str) -> Mapping[str, Any]:
    began = now - timedelta(hours=hours)
    return {
        "since": began.timestamp(),
        "until": now.timestamp(),
        # Dagster keeps UTC in columns without a zone.
        "margin": (began - MARGIN).astimezone(UTC).replace(tzinfo=None),
        "own": own_run,
        "ad_hoc": AD_HOC,
        "single": SINGLE_ASSETS,
    }


def _error(row: Row[Any]) -> tuple[str, str, datetime]:
    line = line_of_event(row.event) if row.event is not None else UNREADABLE
    return line, row.run_id, datetime.fromtimestamp(row.end_time, UTC)


def stage_of(job: str, step: str) -> tuple[str, str]:
    """Whose stage a step is, and its name: `house_prices__model` → house_prices, model; else the job's own."""
    owner, _, stage = step.partition("__")
    if owner == PIPELINES and job.startswith("pipeline "):
        return job, stage.rpartition("__")[2]
    return (owner, stage) if owner and stage else (job, step)
