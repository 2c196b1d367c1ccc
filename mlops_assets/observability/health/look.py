"""Looks at the platform: every part by itself, so that one that can't be looked at leaves the others.

Add a part here when something reads it. Keep out how each is read (`runs`, `machinery`, `programs`,
`dagster_schedules`) and what follows from it (`judge`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mlops_assets.observability.health import machinery, programs, runs
from mlops_assets.observability.health.facts import (
    Facts,
    FailedTick,
    FailurePatterns,
    LateSchedule,
    Platform,
    RunMetrics,
)
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.observability.health.programs import NotToldError
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

if TYPE_CHECKING:
    from dagster import DagsterInstance

log = logging.getLogger(__name__)

STATEMENT_SECONDS = 20.0
# A class of SQL states: somebody ended the statement, here its time limit.
CANCELED_STATE = "57014"
# What an instance with the shipped dagster.yaml needs, where nobody can ask it.
DAEMONS = (
    *("ASSET", "BACKFILL", "EVENT_LOG_CONSUMER", "FRESHNESS_DAEMON", "MONITORING", "QUEUED_RUN_COORDINATOR"),
    *("SCHEDULER", "SENSOR"),
)

Found = TypeVar("Found")
Automation = tuple[tuple[LateSchedule, ...] | None, tuple[FailedTick, ...] | None]


@dataclass
class Look:
    """One look at an installation. `missing` collects what couldn't be looked at, and why in words for everybody."""

    settings: Settings
    database: Database
    policy: HealthPolicy
    own_run: str = ""
    seconds: float = STATEMENT_SECONDS
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    missing: dict[str, str] = field(default_factory=dict)

    def facts(self, instance: DagsterInstance | None) -> Facts:
        """All of them. `instance` tells of schedules and sensors; without one, nothing is said of these."""
        runs, failures = self.runs(), self.failures()
        platform = self.platform(instance)
        return Facts(at=self.at, runs=runs, failures=failures, platform=platform, missing=dict(self.missing))

    def runs(self) -> RunMetrics | None:
        """The runs of the policy's hours."""
        hours = self.policy.hours
        return self._asked("runs", lambda on: runs.run_metrics(on, self.at, hours, self.own_run))

    def failures(self) -> FailurePatterns | None:
        """The stages that failed in these."""
        hours = self.policy.hours
        return self._asked("failures", lambda on: runs.failure_patterns(on, self.at, hours, self.own_run))

    def platform(self, instance: DagsterInstance | None) -> Platform:
        """The machinery, part by part."""
        settings, now = self.settings, self.at.timestamp()
        workspace = self._had("code locations", lambda: programs.workspace(settings))
        late, failed = None, None
        if instance is not None and workspace is not None:
            late, failed = self._automation(instance, workspace.automation)
        daemons = needed_daemons(instance)
        return Platform(
            heartbeats=self._asked("daemon", lambda on: machinery.heartbeats(on, daemons)),
            locations=None if workspace is None else workspace.locations,
            queue=self._asked("queue", lambda on: machinery.queue(on, settings)),
            overdue=self._asked("time limits of runs", lambda on: machinery.overdue(on, settings)),
            late=late,
            failed_ticks=failed,
            services=self._asked("services", machinery.services),
            programs=self._had("programs", lambda: programs.programs(settings, now)),
            disk=self._had("disk", lambda: programs.disk(settings)),
            database=self._asked("database", machinery.database),
            prediction_log=self._had("prediction log", lambda: programs.prediction_log(settings, now)),
        )

    def quick(self, daemons: Collection[str]) -> Platform:
        """What can be known at once: heartbeats, queue, disk, database."""
        settings = self.settings
        return Platform(
            heartbeats=self._asked("daemon", lambda on: machinery.heartbeats(on, daemons)),
            queue=self._asked("queue", lambda on: machinery.queue(on, settings)),
            disk=self._had("disk", lambda: programs.disk(settings)),
            database=self._asked("database", machinery.database),
        )

    def _automation(self, instance: DagsterInstance, known: Collection[str]) -> Automation:
        from mlops_assets.observability.health import dagster_schedules as schedules

        states = self._had("schedules", lambda: schedules.running(instance, known))
        if states is None:
            return None, None
        selectors = [state.selector_id for state in states]
        ticks = self._asked("schedules", lambda on: machinery.newest_ticks(on, selectors))
        if ticks is None:
            return None, None
        late = self._had("schedules", lambda: tuple(schedules.late_schedules(states, ticks, self.at.timestamp())))
        return late, tuple(schedules.failed_ticks(states, ticks))

    def _asked(self, part: str, ask: Callable[[Connection], Found]) -> Found | None:
        """What a question to the database brought, asked in a transaction that changes nothing."""

        def asked() -> Found:
            with self.database.engine.connect() as connection, connection.begin():
                limit = {"limit": f"{int(self.seconds * 1000)}"}
                connection.execute(text("SELECT set_config('statement_timeout', :limit, true)"), limit)
                connection.execute(text("SET TRANSACTION READ ONLY"))
                return ask(connection)

        return self._had(part, asked)

    def _had(self, part: str, ask: Callable[[], Found]) -> Found | None:
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 (whatever it is, it is a fact about the platform)
            # Its text may hold addresses and statements: it is for the log.
            log.warning("%s: %s", part, " ".join(str(error).split())[:500])
            self.missing[part] = self._why(error)
            return None

    def _why(self, error: Exception) -> str:
        if isinstance(error, NotToldError):
            return str(error)
        if isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == CANCELED_STATE:
            return f"the database took longer than {self.seconds:g} s"
        if isinstance(error, SQLAlchemyError):
            return f"the database doesn't answer as it should ({type(error).__name__})"
        return type(error).__name__


def needed_daemons(instance: DagsterInstance | None) -> tuple[str, ...]:
    """The parts of the daemon whose heartbeats count."""
    return DAEMONS if instance is None else tuple(sorted(instance.get_required_daemon_types()))
