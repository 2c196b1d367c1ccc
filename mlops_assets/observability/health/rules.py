"""The rules about Dagster's machinery: daemon, code locations, queue, time limits, schedules, sensors. Pure.

Add a rule here together with its name in `IssueName`; each takes the facts as a whole, for a cause is often another
part's fact. Keep out rules about runs and stages (`judge`) and about what everything stands on (`resources`).
"""

from __future__ import annotations

from collections.abc import Callable

from mlops_assets.notifications.notice import Severity
from mlops_assets.observability.health.facts import Facts, Program, Queue
from mlops_assets.observability.health.issues import Issue, IssueName
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.observability.health.words import RUNNING, issue, named, program_of, span, starting

DAEMON = "daemon"


def daemon_silent(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Parts of the daemon whose heartbeat is old; right after its start it may still be about to come."""
    beats = facts.platform.heartbeats
    program = program_of(facts, DAEMON)
    if not beats or starting(program, policy):
        return []
    silent = [beat for beat in beats if beat.is_old(policy.heartbeat_seconds)]
    if not silent:
        return []
    ages = [beat.age for beat in silent if beat.age is not None]
    seen = f"was last heard of {span(min(ages))} ago" if ages else "has never told of itself"
    names = named([beat.daemon.lower() for beat in silent])
    message = f"Dagster's daemon {seen}: {names}"
    cause, action = _why_silent(facts, policy, program, all_of_it=len(silent) == len(beats))
    return [issue(IssueName.DAEMON_SILENT, Severity.CRITICAL, "", message, cause, action)]


def _why_silent(facts: Facts, policy: HealthPolicy, program: Program | None, *, all_of_it: bool) -> tuple[str, str]:
    database = facts.platform.database
    if program is not None and program.state != RUNNING:
        return (
            f"the daemon's process isn't running ({program.state}): its log says why it ends",
            "mlops logs daemon",
        )
    if database is not None and abs(database.skew) >= policy.clock_seconds:
        return f"the clocks differ by {abs(database.skew):.0f} s, so its heartbeats look old", "timedatectl status"
    if not all_of_it:
        return "other parts of it are alive: this part is stuck, or waits for a code location", "mlops logs daemon"
    if database is not None and database.answer_seconds > policy.database_seconds:
        return "the database is slow, so its heartbeats come late", "mlops logs postgres"
    if program is not None:
        return "its process runs, but is stuck or can't reach the database", "mlops logs daemon; mlops down; mlops up"
    return "its process has ended, or runs and can't reach the database", "mlops status; mlops logs daemon"


def daemon_errors(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Parts of the daemon that are alive and report errors."""
    beats = facts.platform.heartbeats or ()
    failing = [beat for beat in beats if beat.errors and not beat.is_old(policy.heartbeat_seconds)]
    return [
        issue(
            IssueName.DAEMON_ERRORS,
            Severity.WARNING,
            beat.daemon.lower(),
            f"Dagster's {beat.daemon.lower()} daemon reports errors",
            beat.errors[0],
            "mlops logs daemon",
        )
        for beat in failing
    ]


def code_locations(facts: Facts, _: HealthPolicy) -> list[Issue]:
    """Code locations that Dagster couldn't load: none of their schedules and sensors tick, no run of them starts."""
    found = []
    for location in facts.platform.locations or ():
        if location.error is None:
            continue
        program = program_of(facts, {"products": "code"}.get(location.name, location.name))
        down = program is not None and program.state != RUNNING
        cause = f"its code server isn't running ({program.state})" if down and program else location.error
        message = f"Dagster can't load the code location {location.name}: nothing of it starts"
        action = f"mlops logs {program.name if program else 'webserver'}"
        found.append(issue(IssueName.CODE_LOCATION_BROKEN, Severity.CRITICAL, location.name, message, cause, action))
    return found


def queue_waits(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """The oldest waiting run waits for too long."""
    queue = facts.platform.queue
    if queue is None or not queue.queued or queue.oldest_seconds < policy.queue_seconds:
        return []
    message = (
        f"{queue.queued} {'run waits' if queue.queued == 1 else 'runs wait'}, "
        f"the oldest ({queue.oldest_job}) for {span(queue.oldest_seconds)}"
    )
    cause, action = _why_queued(facts, queue, policy)
    return [issue(IssueName.QUEUE_WAITS, Severity.WARNING, "", message, cause, action)]


def _why_queued(facts: Facts, queue: Queue, policy: HealthPolicy) -> tuple[str, str]:
    full = next((slots for slots in queue.slots if 0 <= slots.most <= slots.used), None)
    if full is not None:
        job, count = queue.going[0] if queue.going else ("", 0)
        most = f", {count} of them by {job}" if count > 1 else ""
        setting = "MLOPS_MAX_CONCURRENT_RUNS" if full.limit == "runs" else "the limit in dagster.yaml"
        return (
            f"{_all_of(full.most)} for {full.limit} {'is' if full.most == 1 else 'are'} taken{most}",
            f"mlops status; end runs that needn't go on, or raise {setting}",
        )
    for beat in facts.platform.heartbeats or ():
        if beat.daemon == "QUEUED_RUN_COORDINATOR" and beat.is_old(policy.heartbeat_seconds):
            return "places are free, but the part of the daemon that empties the queue is silent", "mlops logs daemon"
    return (
        "places are free: the runs wait for one of their own kind to end (a limit by tag or a pool)",
        "mlops status; look at Dagster's queue",
    )


def _all_of(places: int) -> str:
    return "the one place" if places == 1 else f"all {places} places"


def runs_overdue(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Runs that nothing ended at their time limit."""
    late = [run for run in facts.platform.overdue or () if run.seconds > policy.overdue_seconds]
    if not late:
        return []
    worst = max(late, key=lambda run: run.seconds)
    count = "a run goes" if len(late) == 1 else f"{len(late)} runs go"
    message = f"{count} on beyond the time limit, {worst.job} for {span(worst.seconds)}"
    cause = "the daemon's monitoring should have ended it: it is silent, or the run's process can't be ended"
    action = f"mlops logs daemon; terminate run {worst.run_id} on Dagster's page"
    return [issue(IssueName.RUN_OVERDUE, Severity.WARNING, "", message, cause, action)]


def schedules_late(facts: Facts, policy: HealthPolicy) -> list[Issue]:
    """Ticks that haven't come. When the daemon is silent or a location is broken, that is what is told."""
    late = [one for one in facts.platform.late or () if one.seconds >= policy.schedule_seconds]
    if not late or daemon_silent(facts, policy) or code_locations(facts, policy):
        return []
    worst = max(late, key=lambda one: one.seconds)
    message = f"{named([one.name for one in late])}: no tick for {span(worst.seconds)} after its time"
    cause = "the daemon is alive: it is stuck in another schedule, or this machine was off or asleep"
    return [issue(IssueName.SCHEDULE_LATE, Severity.WARNING, "", message, cause, "mlops logs daemon; mlops logs code")]


def automation_fails(facts: Facts, _: HealthPolicy) -> list[Issue]:
    """Schedules and sensors whose newest tick failed."""
    return [
        issue(
            IssueName.AUTOMATION_FAILS,
            Severity.WARNING,
            tick.name,
            f"the newest tick of {tick.kind} {tick.name} failed {span(tick.age)} ago",
            tick.error,
            "mlops logs code; mlops logs daemon",
        )
        for tick in facts.platform.failed_ticks or ()
    ]


RULES: list[Callable[[Facts, HealthPolicy], list[Issue]]] = [
    *(daemon_silent, daemon_errors, code_locations, queue_waits, runs_overdue, schedules_late, automation_fails),
]
