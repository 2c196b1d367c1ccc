"""The rules about what everything stands on: programs, services, prediction log, disk, database, clock. Pure.

Add a rule here together with its name in `IssueName`. Keep out rules about Dagster's machinery (`rules`).
"""

from __future__ import annotations

from collections.abc import Callable

from mlops_assets.notifications.notice import Severity
from mlops_assets.observability.health.facts import DatabaseFacts, Facts
from mlops_assets.observability.health.issues import Issue, IssueName
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.observability.health.words import RUNNING, issue, program_of, span, starting

GB = 1e9
# Disks on which the database is nearly all that is stored.
MOST_OF_IT = 0.5


def programs_down(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Programs that their manager can't keep up. One that is being started isn't down."""
    return [
        issue(
            IssueName.PROGRAM_DOWN,
            Severity.CRITICAL,
            program.name,
            f"the program {program.name} isn't running ({program.state})",
            _why_down(program.state),
            f"mlops logs {program.name}" + ("; mlops up" if program.state in ("STOPPED", "EXITED", "FATAL") else ""),
        )
        for program in facts.platform.programs or ()
        if program.state != RUNNING and not starting(program, policy)
    ]


def _why_down(state: str) -> str:
    if state == "STOPPED":
        return "somebody stopped it, or it was never started"
    if state in ("EXITED", "FATAL"):
        return "it ended and its manager gave up starting it"
    return "it ends soon after each start; its manager starts it again and again"


def services_down(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Services that don't answer though their program runs, or nobody knows whether it does."""
    found = []
    for service in facts.platform.services or ():
        program = program_of(facts, service.name)
        if service.down_seconds is None or (program is not None and program.state != RUNNING):
            continue
        if starting(program, policy):
            continue
        cause = "its process runs and doesn't answer: it is stuck, overloaded, or waits for another part"
        if program is None:
            cause = "its process has ended, is stuck, or waits for another part"
        message = f"{service.name} hasn't answered for {span(service.down_seconds)}"
        found.append(
            issue(IssueName.SERVICE_DOWN, Severity.CRITICAL, service.name, message, cause, f"mlops logs {service.name}")
        )
    return found


def prediction_log(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Answers that wait for the database. One that nobody asks has none."""
    log = facts.platform.prediction_log
    if log is None or starting(program_of(facts, "shipper"), policy):
        return []
    if log.silent_seconds >= policy.log_seconds:
        message = f"the prediction log's program has told nothing for {span(log.silent_seconds)}"
        cause = "it has ended or is stuck; answers are kept in the journal until it goes on"
    elif log.oldest_seconds >= policy.log_seconds:
        message = f"answers wait for {span(log.oldest_seconds)} and are not in the database yet"
        cause = "the database refuses them, is slow or full; they are kept in the journal"
    else:
        return []
    return [issue(IssueName.PREDICTION_LOG_BEHIND, Severity.WARNING, "", message, cause, "mlops logs shipper")]


def disk_full(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Little room where the installation keeps its state."""
    disk, database = facts.platform.disk, facts.platform.database
    if disk is None or disk.free_share >= policy.least_free_disk:
        return []
    critical = disk.free_share < policy.critical_free_disk
    message = (
        f"the disk is {1 - disk.free_share:.1%} full: {disk.free / GB:,.1f} GB of {disk.size / GB:,.0f} GB are free"
    )
    used, cause = disk.size - disk.free, "files have grown; the database is the smaller part of them"
    if database is None:
        cause = "files or the database have grown"
    elif used and database.size / used >= MOST_OF_IT:
        cause = f"the database holds {database.size / GB:,.1f} GB of the {used / GB:,.1f} GB that are used"
    action = "mlops status; remove old files, lower MLOPS_ARTIFACT_DAYS, or move MLOPS_HOME to a larger disk"
    return [issue(IssueName.DISK_FULL, Severity.CRITICAL if critical else Severity.WARNING, "", message, cause, action)]


def database_issues(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """A slow database, few connections left, a transaction that stays open."""
    database = facts.platform.database
    if database is None:
        return []
    found = []
    if database.answer_seconds >= policy.database_seconds:
        message = f"the database took {database.answer_seconds:.1f} s for the simplest question"
        cause = _why_slow(facts, database, policy)
        found.append(
            issue(IssueName.DATABASE_SLOW, Severity.CRITICAL, "", message, cause, "mlops logs postgres; mlops doctor")
        )
    if database.most_connections and database.connections >= policy.connections_share * database.most_connections:
        message = f"{database.connections} of {database.most_connections} connections to the database are open"
        cause = "more processes than it was set up for, or one that doesn't give its connections back"
        action = "mlops status; raise max_connections of the database"
        found.append(issue(IssueName.DATABASE_CONNECTIONS, Severity.WARNING, "", message, cause, action))
    if database.oldest_transaction >= policy.transaction_seconds:
        message = f"a transaction has been open for {span(database.oldest_transaction)}"
        cause = "somebody's session was left open, or a program hangs in the middle of its work"
        action = "find it in pg_stat_activity and end it with pg_terminate_backend; mlops status"
        found.append(issue(IssueName.DATABASE_TRANSACTION_OLD, Severity.WARNING, "", message, cause, action))
    return found


def _why_slow(facts: Facts, database: DatabaseFacts, policy: HealthPolicy) -> str:
    disk = facts.platform.disk
    if disk is not None and disk.free_share < policy.critical_free_disk:
        return "its disk is nearly full"
    if database.most_connections and database.connections >= policy.connections_share * database.most_connections:
        return "nearly all of its connections are in use"
    if database.oldest_transaction >= policy.transaction_seconds:
        return "a transaction that stays open keeps it from cleaning up"
    return "the machine or its disk is busy, or the way to the database is slow"


def clock_off(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Two clocks that differ make what is on time look late, and tokens look expired."""
    database = facts.platform.database
    if database is None or abs(database.skew) < policy.clock_seconds:
        return []
    where = "ahead of" if database.skew > 0 else "behind"
    message = f"this machine's clock is {span(abs(database.skew))} {where} the database's"
    cause = "one of the two isn't kept in time (NTP)"
    return [issue(IssueName.CLOCK_OFF, Severity.WARNING, "", message, cause, "timedatectl status")]


RULES: list[Callable[[Facts, HealthPolicy], list[Issue]]] = [
    *(programs_down, services_down, prediction_log, disk_full, database_issues, clock_off),
]
