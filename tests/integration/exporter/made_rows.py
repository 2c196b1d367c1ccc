"""Rows of Dagster's and our own tables as they come about in days, made at once; and looks at what is made of them.

Keep out what is tested.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import DagsterEvent, DagsterEventType
from sqlalchemy import text

from mlops_assets.observability.exporter.collector import Collector
from mlops_assets.observability.exporter.families import Sheet, Value
from mlops_assets.pipelines import naming
from mlops_assets.storage.database import Database

DECLARED = {naming.DECLARED_TAG: naming.DECLARED}
RUN = """
INSERT INTO dagster.runs (run_id, pipeline_name, status, run_body, create_timestamp, update_timestamp, start_time,
  end_time)
SELECT :run_id, :job, :status, '{}', now() - make_interval(secs => :made), now(),
  extract(epoch FROM now()) - :started, extract(epoch FROM now()) - :ended
RETURNING id
"""
STAGE = """
INSERT INTO mlops.stage_usage (run_id, step_key, attempt, kind, product, stage, job, started_at, ended_at, outcome,
  wall_seconds, cpu_seconds, peak_memory_bytes, read_bytes, written_bytes)
VALUES (:run_id, :step_key, :attempt, :kind, :product, :stage, 'job', now() - make_interval(secs => :began),
  CASE WHEN CAST(:outcome AS text) IS NOT NULL THEN now() END, :outcome, :wall, :cpu, :peak, :read, :written)
"""
INSTIGATOR = """
INSERT INTO dagster.instigators (selector_id, repository_selector_id, status, instigator_type, instigator_body)
VALUES (:name, 'r', :status, :type, :body)
"""
TICK = """
INSERT INTO dagster.job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body, create_timestamp)
VALUES (:name, :name, :status, :type, now() - make_interval(secs => :ago), '{}',
  now() - make_interval(secs => :ago - :delay))
"""
HEARTBEAT = """
INSERT INTO dagster.daemon_heartbeats (daemon_type, daemon_id, timestamp, body)
VALUES (:daemon, 'd', now() - make_interval(secs => :ago), :body)
"""


class Rows:
    """Inserts; times are seconds ago."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def run(
        self,
        job: str,
        status: str = "SUCCESS",
        *,
        made: float = 20,
        started: float | None = 15,
        ended: float | None = 5,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """A run with its tags; its id."""
        run_id = str(uuid4())
        values = {"run_id": run_id, "job": job, "status": status, "made": made, "started": started, "ended": ended}
        self.execute(RUN, **values)
        for key, value in (tags or {}).items():
            insert = "INSERT INTO dagster.run_tags (run_id, key, value) VALUES (:run_id, :key, :value)"
            self.execute(insert, run_id=run_id, key=key, value=value)
        return run_id

    def stage(self, product: str, stage: str, outcome: str | None = "SUCCESS", **given: Any) -> None:
        """An attempt of a stage; `wall` and `cpu` in seconds, `peak`, `read` and `written` in bytes."""
        values: dict[str, Any] = {
            "run_id": str(uuid4()),
            "step_key": stage,
            "attempt": 1,
            "kind": "product",
            "began": 60,
            "wall": 2.0,
            "cpu": 1.0,
            "peak": 1e9,
            "read": 10,
            "written": 20,
        }
        self.execute(STAGE, product=product, stage=stage, outcome=outcome, **(values | given))

    def instigator(
        self, name: str, type: str, *, location: str = "products", status: str = "DECLARED_IN_CODE", started: float = 0
    ) -> None:
        """A schedule or sensor that Dagster knows; `started` in seconds since 1970."""
        place = {"location_name": location}
        origin = {
            "external_repository_origin": {"repository_location_origin": place, "repository_name": "__repository__"}
        }
        body = {"origin": origin | {"job_name": name}, "job_specific_data": {"start_timestamp": started}}
        self.execute(INSTIGATOR, name=name, status=status, type=type, body=json.dumps(body))

    def tick(self, name: str, type: str, status: str = "SUCCESS", *, ago: float = 30, delay: float = 0) -> None:
        """A tick that was due `ago` and came `delay` later."""
        self.execute(TICK, name=name, type=type, status=status, ago=ago, delay=delay)

    def heartbeat(self, daemon: str, ago: float, errors: int = 0) -> None:
        """A daemon's newest sign of life."""
        self.execute(HEARTBEAT, daemon=daemon, ago=ago, body=json.dumps({"errors": [{}] * errors}))

    def execute(self, statement: str, **values: Any) -> None:
        """One statement, committed."""
        with self.database.engine.begin() as connection:
            connection.execute(text(statement), values)


class Found:
    """What a look found, to be asked for by name and labels."""

    def __init__(self, sheet: Sheet, collector: Collector) -> None:
        self._sheet = sheet
        self._labels = {metric.name: metric.labels for metric in collector.metrics}

    def of(self, name: str, **labels: str) -> Value | None:
        """One series; None if there is none."""
        key = tuple(labels[label] for label in self._labels[name])
        return self._sheet.values.get(name, {}).get(key)

    def all(self, name: str) -> dict[tuple[str, ...], Value]:
        """All series of a metric."""
        return dict(self._sheet.values.get(name, {}))

    @property
    def dropped(self) -> dict[str, int]:
        """How many series were left out."""
        return dict(self._sheet.dropped)


def look(collector: Collector) -> Found:
    """Let a collector look once. Raises what it raises."""
    sheet = collector.sheet()
    collector.look(sheet)
    return Found(sheet, collector)


def in_schema(url: str, schema: str) -> str:
    """The address of the same database for whose tables lie in that schema."""
    return f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{schema}"


@contextmanager
def dagster_instance(url: str, home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with its tables there and everything else in that folder."""
    storage = json.dumps({"postgres": {"postgres_url": url}})
    (home / "dagster.yaml").write_text(f"storage: {storage}\ntelemetry: {{enabled: false}}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def judge_freshness(instance: dg.DagsterInstance, key: dg.AssetKey, state: FreshnessState) -> None:
    """What Dagster's freshness daemon says of an asset."""
    change = FreshnessStateChange(
        key=key, new_state=state, previous_state=FreshnessState.UNKNOWN, state_change_timestamp=time.time()
    )
    kind = DagsterEventType.FRESHNESS_STATE_CHANGE
    instance.report_dagster_event(DagsterEvent(kind.value, job_name="", event_specific_data=change), run_id="")
