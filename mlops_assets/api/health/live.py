"""What `GET /api/v1/health` tells everybody of the platform at this moment: figures and words, no names, no texts.

Judged by the same rules and thresholds as the hourly report, on the facts that can be had at once. Keep out the report
itself (`report`), which needs a token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.notifications.notice import Severity
from mlops_assets.observability.health import store
from mlops_assets.observability.health.facts import Facts, Platform
from mlops_assets.observability.health.issues import IssueName
from mlops_assets.observability.health.judge import judge
from mlops_assets.observability.health.look import DAEMONS, Look
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

# It is asked every few seconds, by whoever watches: one look is enough for all of them.
KEPT_SECONDS = 5.0
LOOK_SECONDS = 2.0
# The heartbeats have words of their own (`routes.daemon_issues`).
WORDS = {
    IssueName.QUEUE_WAITS: "runs wait long for their start",
    IssueName.DISK_FULL: "the disk is nearly full",
    IssueName.DATABASE_SLOW: "the database is slow",
    IssueName.DATABASE_CONNECTIONS: "few connections to the database are left",
    IssueName.DATABASE_TRANSACTION_OLD: "a transaction of the database stays open",
    IssueName.CLOCK_OFF: "the clocks of this machine and of the database differ",
}
REPORT_LATE = "the hourly health report is late"


class LiveFacts(BaseModel):
    """Figures of this moment; None for what couldn't be had at once. `heartbeat_seconds` is the oldest one's age."""

    queued_runs: int | None = None
    oldest_queued_seconds: float | None = None
    running_runs: int | None = None
    run_slots: int | None = None
    heartbeat_seconds: float | None = None
    disk_free_share: float | None = None
    database_connections: int | None = None


class ReportedIssue(BaseModel):
    """An issue by its name, and how many times the report has it."""

    name: IssueName
    severity: Severity
    count: int


class ReportSummary(BaseModel):
    """The newest hourly report in short; `late` if the next one should have come."""

    status: Literal["healthy", "degraded"]
    made_at: datetime
    late: bool
    issues: list[ReportedIssue]


class Live(BaseModel):
    """One look."""

    facts: LiveFacts
    report: ReportSummary | None
    issues: list[str]


class LiveHealth:
    """Looks at most every five seconds, whoever asks."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        policy: HealthPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._database, self._policy, self._clock = settings, database, policy, clock
        self._lock = threading.Lock()
        self._began = clock()
        self._kept: tuple[float, Live] | None = None

    def __call__(self) -> Live:
        """The newest look. Raises SQLAlchemyError when the database is away."""
        with self._lock:
            if self._kept is None or self._clock() - self._kept[0] >= KEPT_SECONDS:
                self._kept = (self._clock(), self._look())
            return self._kept[1]

    def _look(self) -> Live:
        look = Look(self._settings, self._database, self._policy, seconds=LOOK_SECONDS)
        platform = look.quick(DAEMONS)
        judged = judge(Facts(at=look.at, platform=platform), self._policy)
        issues = [WORDS[issue.name] for issue in judged.issues if issue.name in WORDS]
        report = self._report()
        if report is not None and report.late:
            issues.append(REPORT_LATE)
        return Live(facts=figures(platform), report=report, issues=issues)

    def _report(self) -> ReportSummary | None:
        try:
            kept = store.newest(self._database)
        except (SQLAlchemyError, ValueError):  # ValueError: a report of another version of this program
            return None
        if kept is None:
            return None
        _, report = kept
        counted: dict[tuple[IssueName, Severity], int] = {}
        for issue in report.issues:
            counted[issue.name, issue.severity] = counted.get((issue.name, issue.severity), 0) + 1
        return ReportSummary(
            status=report.status,
            made_at=report.made_at,
            late=self._late(report.made_at),
            issues=[ReportedIssue(name=name, severity=how, count=count) for (name, how), count in counted.items()],
        )

    def _late(self, made_at: datetime) -> bool:
        """Whether the next report should have come: not right after a start, when none could be made."""
        limit = self._policy.report_seconds
        age = (datetime.now(UTC) - made_at).total_seconds()
        return age > limit and self._clock() - self._began > limit


def figures(platform: Platform) -> LiveFacts:
    """What everybody may know of the machinery."""
    queue, disk, database = platform.queue, platform.disk, platform.database
    ages = [beat.age for beat in platform.heartbeats or () if beat.age is not None]
    slots = next(iter(queue.slots), None) if queue else None
    return LiveFacts(
        queued_runs=queue.queued if queue else None,
        oldest_queued_seconds=round(queue.oldest_seconds, 1) if queue else None,
        running_runs=slots.used if slots else None,
        run_slots=slots.most if slots else None,
        heartbeat_seconds=round(max(ages), 1) if ages else None,
        disk_free_share=round(disk.free_share, 4) if disk else None,
        database_connections=database.connections if database else None,
    )
