"""An installation as far as the health graph sees it: its database, its Dagster, and runs of every fate.

Add here what several tests of health need. Keep out what they prove.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
from sqlalchemy import text

from mlops_assets.observability.health.dagster_graph import JOB, health_definitions
from mlops_assets.observability.health.facts import Facts
from mlops_assets.observability.health.look import DAEMONS, Look
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.health_tables import KeptReport

RUN = """INSERT INTO dagster.runs
  (run_id, pipeline_name, status, run_body, create_timestamp, update_timestamp, start_time, end_time)
  VALUES (:run, :job, :status, '{}', :created, :updated, :start, :end)"""
TAG = "INSERT INTO dagster.run_tags (run_id, key, value) VALUES (:run, :key, :value)"
EVENT = """INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp, step_key)
  VALUES (:run, :event, :kind, :at, :step)"""


@dataclass
class Rig:
    """One installation whose daemon is well until somebody says otherwise."""

    settings: Settings
    database: Database
    instance: DagsterInstance
    policy: HealthPolicy = field(default_factory=HealthPolicy)

    def beat(self, age: float = 0, *, without: str = "") -> None:
        """Heartbeats of every part of the daemon but one."""
        for daemon in {*self.instance.get_required_daemon_types(), *DAEMONS}:
            if daemon != without:
                self.instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age, daemon, "one", []))

    def look(self, **more: Any) -> Facts:
        """Everything that is known now."""
        return Look(self.settings, self.database, self.policy, **more).facts(self.instance)

    def report(self, **tags: str) -> dg.ExecuteInProcessResult:
        """A real run of the health graph."""
        self.beat()
        definitions = dg.Definitions.merge(
            health_definitions(self.policy),
            dg.Definitions(resources={"settings": self.settings, "database": self.database}),
        )
        job = definitions.resolve_job_def(JOB)
        return job.execute_in_process(instance=self.instance, raise_on_error=False, tags=tags)

    def reports(self) -> list[KeptReport]:
        """Every kept report, oldest first."""
        with self.database.session() as session:
            return list(session.query(KeptReport).order_by(KeptReport.id))

    def run(
        self,
        job: str,
        status: str,
        *,
        ago: float = 60,
        seconds: float = 10,
        tags: Mapping[str, str] | None = None,
        steps: Mapping[str, str | None] | None = None,
    ) -> str:
        """A run as Dagster keeps it, that ended (or, if it hasn't, began) `ago` seconds ago; its id.

        `steps`: step key to what it raised, None for success.
        """
        run, now = str(uuid4()), datetime.now(UTC)
        at = now - timedelta(seconds=ago)
        began = None if status in ("QUEUED", "NOT_STARTED") else at.timestamp()
        over = status in ("SUCCESS", "FAILURE", "CANCELED")
        with self.database.engine.begin() as connection:
            connection.execute(
                text(RUN),
                {
                    "run": run,
                    "job": job,
                    "status": status,
                    "created": at.replace(tzinfo=None),
                    "updated": at.replace(tzinfo=None),
                    "start": began - seconds if over and began else began,
                    "end": began if over else None,
                },
            )
            for key, value in (tags or {}).items():
                connection.execute(text(TAG), {"run": run, "key": key, "value": value})
            for step, error in (steps or {}).items():
                kind = "STEP_SUCCESS" if error is None else "STEP_FAILURE"
                event = {"dagster_event": {"event_specific_data": {"error": {"message": error, "cause": None}}}}
                values = {"run": run, "event": json.dumps(event), "kind": kind, "at": at.replace(tzinfo=None)}
                connection.execute(text(EVENT), {**values, "step": step})
        return run
