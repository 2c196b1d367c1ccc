"""What can be wrong with the platform, by name, and the report that says what is. Pure.

Add a name here, with the rule that finds it and its entry in the runbook. Metrics, alerts and pages use these names, so
there are no others. Keep out the rules (`judge`, `rules`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlops_assets.notifications.notice import Severity
from mlops_assets.observability.health.facts import Facts

MOST_ISSUES = 50


class IssueName(StrEnum):
    """One line of meaning each."""

    FAILURE_RATE_HIGH = "failure_rate_high"  # too large a share of the runs failed
    FAILURES_MANY = "failures_many"  # too many runs failed
    STAGE_FAILS_OFTEN = "stage_fails_often"  # the same stage failed again and again
    JOB_FAILS_IN_A_ROW = "job_fails_in_a_row"  # the newest runs of a job all failed
    DAEMON_SILENT = "daemon_silent"  # a part of Dagster's daemon has no new heartbeat
    DAEMON_ERRORS = "daemon_errors"  # it has one, with errors
    CODE_LOCATION_BROKEN = "code_location_broken"  # Dagster couldn't load a code location
    QUEUE_WAITS = "queue_waits"  # a run waits for its start for too long
    RUN_OVERDUE = "run_overdue"  # a run goes on beyond its time limit
    SCHEDULE_LATE = "schedule_late"  # a schedule's tick hasn't come
    AUTOMATION_FAILS = "automation_fails"  # a schedule's or sensor's newest tick failed
    SERVICE_DOWN = "service_down"  # a service doesn't answer
    PROGRAM_DOWN = "program_down"  # a program isn't running
    PREDICTION_LOG_BEHIND = "prediction_log_behind"  # answers wait long before they are in the database
    DISK_FULL = "disk_full"  # little room is left
    DATABASE_SLOW = "database_slow"  # the simplest question takes long
    DATABASE_CONNECTIONS = "database_connections"  # few connections are left
    DATABASE_TRANSACTION_OLD = "database_transaction_old"  # a transaction stays open, so nothing can be cleaned up
    CLOCK_OFF = "clock_off"  # this machine's clock and the database's differ
    FACTS_MISSING = "facts_missing"  # something couldn't be looked at


# What the last 24 hours tell: it stays for as long, although everything may work again.
OF_THE_DAY = frozenset(
    {
        *(IssueName.FAILURE_RATE_HIGH, IssueName.FAILURES_MANY),
        *(IssueName.STAGE_FAILS_OFTEN, IssueName.JOB_FAILS_IN_A_ROW),
    }
)


class Issue(BaseModel):
    """One thing that is wrong. `subject` is what it is about: a job, a stage, a program; empty for the platform.

    `message` says what was seen, `cause` why that is likely, as far as the facts tell, and `action` what to do: a
    command first, where there is one.
    """

    model_config = ConfigDict(frozen=True)

    name: IssueName
    severity: Literal[Severity.WARNING, Severity.CRITICAL]
    subject: str
    message: str
    cause: str
    action: str

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same issue in another report."""
        return str(self.name), self.subject


class HealthReport(BaseModel):
    """One look at the platform: the issues, worst first, and the facts that they come from."""

    model_config = ConfigDict(frozen=True)

    status: Literal["healthy", "degraded"]
    made_at: datetime
    issues: tuple[Issue, ...]
    facts: Facts

    @property
    def said(self) -> str:
        """The report in one line."""
        if not self.issues:
            return "healthy: no issue"
        critical = sum(issue.severity is Severity.CRITICAL for issue in self.issues)
        count = len(self.issues)
        urgent = f", {critical} critical" if critical else ""
        names = list(dict.fromkeys(str(issue.name) for issue in self.issues))
        return f"degraded: {count} {'issue' if count == 1 else 'issues'}{urgent}: {', '.join(names)}"
