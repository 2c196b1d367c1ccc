"""The asset checks of the health assets: which issues each stands for, and its figures beside their limits. Pure.

Every issue name but that of missing facts belongs to exactly one check. Add a check here with its asset. Keep out
Dagster (`dagster_graph`) and the rules themselves (`judge`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlops_assets.observability.health.facts import Facts
from mlops_assets.observability.health.issues import HealthReport, Issue
from mlops_assets.observability.health.issues import IssueName as Name
from mlops_assets.observability.health.policy import HealthPolicy

RUN_METRICS, FAILURE_PATTERNS, DAEMON_HEALTH = "run_metrics", "failure_patterns", "daemon_health"

Figures = dict[str, float | int | str]


@dataclass(frozen=True)
class Check:
    """One check of an asset. `figures` shows value and limit; None when there was nothing to look at."""

    asset: str
    name: str
    description: str
    issues: tuple[Name, ...]
    figures: Callable[[Facts, HealthPolicy], Figures | None]


@dataclass(frozen=True)
class Outcome:
    """What a check found: `said` in words, the figures, and the worst issue's severity if there is one."""

    passed: bool
    said: str
    figures: Mapping[str, float | int | str]
    severity: str | None


def outcome(check: Check, report: HealthReport, policy: HealthPolicy) -> Outcome:
    """The check's result on a report. What couldn't be looked at doesn't pass."""
    figures = check.figures(report.facts, policy)
    found: list[Issue] = [issue for issue in report.issues if issue.name in check.issues]
    if found:
        return Outcome(False, "; ".join(issue.message for issue in found[:5]), figures or {}, str(found[0].severity))
    if figures is None:
        return Outcome(False, "it couldn't be looked at", {}, "warning")
    return Outcome(True, "no issue", figures, None)


def _rate(facts: Facts, policy: HealthPolicy) -> Figures | None:
    if facts.runs is None:
        return None
    rate = facts.runs.failure_rate
    value = "no run ended" if rate is None else round(rate, 4)
    return {"value": value, "limit": policy.max_failure_rate, "failed": facts.runs.failed, "ended": facts.runs.decided}


def _failures(facts: Facts, policy: HealthPolicy) -> Figures | None:
    return None if facts.runs is None else {"value": facts.runs.failed, "limit": policy.max_failures}


def _in_a_row(facts: Facts, policy: HealthPolicy) -> Figures | None:
    if facts.runs is None:
        return None
    return {"value": max((job.in_a_row for job in facts.runs.jobs), default=0), "limit": policy.failures_in_a_row}


def _stages(facts: Facts, policy: HealthPolicy) -> Figures | None:
    if facts.failures is None:
        return None
    most = max((stage.failures for stage in facts.failures.stages), default=0)
    return {"value": most, "limit": policy.stage_failures_warning}


def _heartbeats(facts: Facts, policy: HealthPolicy) -> Figures | None:
    beats = facts.platform.heartbeats
    if beats is None:
        return None
    ages = [beat.age for beat in beats if beat.age is not None]
    oldest = round(max(ages), 1) if ages else "none"
    return {"value": oldest, "limit": policy.heartbeat_seconds, "silent": sum(beat.age is None for beat in beats)}


def _locations(facts: Facts, _: HealthPolicy) -> Figures | None:
    locations = facts.platform.locations
    if locations is None:
        return None
    return {"value": sum(one.error is not None for one in locations), "limit": 0, "locations": len(locations)}


def _queue(facts: Facts, policy: HealthPolicy) -> Figures | None:
    queue = facts.platform.queue
    if queue is None:
        return None
    return {"value": round(queue.oldest_seconds, 1), "limit": policy.queue_seconds, "queued": queue.queued}


def _overdue(facts: Facts, policy: HealthPolicy) -> Figures | None:
    runs = facts.platform.overdue
    if runs is None:
        return None
    return {"value": round(max((run.seconds for run in runs), default=0.0), 1), "limit": policy.overdue_seconds}


def _schedules(facts: Facts, policy: HealthPolicy) -> Figures | None:
    late, failed = facts.platform.late, facts.platform.failed_ticks
    if late is None or failed is None:
        return None
    worst = round(max((one.seconds for one in late), default=0.0), 1)
    return {"value": worst, "limit": policy.schedule_seconds, "failed_ticks": len(failed)}


def _programs(facts: Facts, _: HealthPolicy) -> Figures | None:
    programs, services = facts.platform.programs, facts.platform.services
    if programs is None or services is None:
        return None
    down = sum(one.state != "RUNNING" for one in programs) + sum(one.down_seconds is not None for one in services)
    return {"value": down, "limit": 0, "programs": len(programs), "services": len(services)}


def _log(facts: Facts, policy: HealthPolicy) -> Figures | None:
    if "prediction log" in facts.missing:
        return None
    log = facts.platform.prediction_log
    value = "nothing was served" if log is None else round(max(log.oldest_seconds, log.silent_seconds), 1)
    return {"value": value, "limit": policy.log_seconds}


def _disk(facts: Facts, policy: HealthPolicy) -> Figures | None:
    disk = facts.platform.disk
    return None if disk is None else {"value": round(disk.free_share, 4), "limit": policy.least_free_disk}


def _database(facts: Facts, policy: HealthPolicy) -> Figures | None:
    database = facts.platform.database
    if database is None:
        return None
    answer = round(database.answer_seconds, 4)
    return {"value": answer, "limit": policy.database_seconds, "connections": database.connections}


def _clock(facts: Facts, policy: HealthPolicy) -> Figures | None:
    database = facts.platform.database
    return None if database is None else {"value": round(database.skew, 3), "limit": policy.clock_seconds}


CHECKS = (
    Check(RUN_METRICS, "failure_rate", "share of failed runs", (Name.FAILURE_RATE_HIGH,), _rate),
    Check(RUN_METRICS, "failures", "number of failed runs", (Name.FAILURES_MANY,), _failures),
    Check(RUN_METRICS, "jobs_succeed", "no job fails again and again", (Name.JOB_FAILS_IN_A_ROW,), _in_a_row),
    Check(FAILURE_PATTERNS, "stage_failures", "no stage fails often", (Name.STAGE_FAILS_OFTEN,), _stages),
    Check(
        *(DAEMON_HEALTH, "heartbeats", "every part of the daemon tells of itself"),
        (Name.DAEMON_SILENT, Name.DAEMON_ERRORS),
        _heartbeats,
    ),
    Check(DAEMON_HEALTH, "code_locations", "all are loaded", (Name.CODE_LOCATION_BROKEN,), _locations),
    Check(DAEMON_HEALTH, "queue", "runs start soon", (Name.QUEUE_WAITS,), _queue),
    Check(DAEMON_HEALTH, "time_limits", "no run goes on beyond its limit", (Name.RUN_OVERDUE,), _overdue),
    Check(
        *(DAEMON_HEALTH, "schedules", "ticks come in time and work"),
        (Name.SCHEDULE_LATE, Name.AUTOMATION_FAILS),
        _schedules,
    ),
    Check(
        *(DAEMON_HEALTH, "programs", "all run and answer"),
        (Name.PROGRAM_DOWN, Name.SERVICE_DOWN),
        _programs,
    ),
    Check(DAEMON_HEALTH, "prediction_log", "answers reach the database", (Name.PREDICTION_LOG_BEHIND,), _log),
    Check(DAEMON_HEALTH, "disk", "share that is free", (Name.DISK_FULL,), _disk),
    Check(
        *(DAEMON_HEALTH, "database", "answers soon, has connections left"),
        (Name.DATABASE_SLOW, Name.DATABASE_CONNECTIONS, Name.DATABASE_TRANSACTION_OLD),
        _database,
    ),
    Check(DAEMON_HEALTH, "clock", "as the database's", (Name.CLOCK_OFF,), _clock),
)
