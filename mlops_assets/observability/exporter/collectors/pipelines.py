"""Declared pipelines: how many there are, and the runs of those that ran last.

Keep out what all their runs have in common (`runs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.settled_runs import ENDED, Counted, SettledRuns
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.pipelines.naming import PIPELINE_TAG

EVERY_SECONDS = 15.0
FILES_SECONDS = 120.0
FILES = ("mlops_artifact_bytes",)
# A pipeline's metrics have room for this many; each may end in three ways.
MOST_TOLD = 400

_STATES = """
SELECT CASE WHEN deployed_version IS NULL THEN 'draft' WHEN load_error IS NOT NULL THEN 'broken'
  WHEN active THEN 'active' ELSE 'paused' END AS state, count(*) AS pipelines
FROM mlops.pipeline WHERE deleted_at IS NULL GROUP BY 1
"""
STATES = ("active", "paused", "draft", "broken")
_RUNS = """
SELECT t.value AS pipeline, r.status, count(*) AS runs, max(r.id) AS newest,
  max(r.end_time) FILTER (WHERE r.status = 'SUCCESS') AS succeeded
FROM dagster.runs AS r JOIN dagster.run_tags AS t ON t.run_id = r.run_id AND t.key = :tag
WHERE r.status IN ('SUCCESS', 'FAILURE', 'CANCELED') AND {which} GROUP BY 1, 2
"""
# A tag can say anything; only what is a pipeline has a name.
_NAMES = "SELECT id::text AS id, name FROM mlops.pipeline WHERE deleted_at IS NULL"
_FILES = """
SELECT storage, sum(size) AS bytes FROM mlops.artifact WHERE removed_at IS NULL AND uri IS NOT NULL GROUP BY 1
"""


@dataclass
class Ran:
    """Ended runs of one pipeline; `newest` is the number of the newest."""

    outcomes: Counter[str] = field(default_factory=Counter)
    succeeded: float | None = None
    newest: int = 0

    def add(self, other: Ran) -> None:
        """Take the other's runs in."""
        self.outcomes.update(other.outcomes)
        self.newest = max(self.newest, other.newest)
        if other.succeeded is not None:
            self.succeeded = max(self.succeeded or 0.0, other.succeeded)


def collector(source: Source) -> Collector:
    """Looks every fifteen seconds."""
    metrics = of_group("pipelines", but=FILES)
    return Collector("pipelines", metrics, EVERY_SECONDS, LookAtPipelines(source))


class LookAtPipelines:
    """Remembers what was counted of runs that have settled, for pipelines that are there."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._settled: dict[str, Ran] = {}
        self._names: dict[str, str] = {}
        self._runs = SettledRuns(source, count, lambda counted: self._take(self._settled, counted))

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError."""
        with self._source.asking() as connection:
            states = {row.state: row.pipelines for row in rows(connection, _STATES)}
            self._names = {row.id: row.name for row in rows(connection, _NAMES)}
        for state in STATES:
            sheet.put("mlops_pipelines", states.get(state, 0), state=state)
        runs: dict[str, Ran] = {}
        self._take(runs, self._runs.rest())
        for pipeline, ran in self._settled.items():
            runs.setdefault(pipeline, Ran()).add(ran)
        newest = sorted(runs.items(), key=lambda item: -item[1].newest)
        for pipeline, ran in newest[:MOST_TOLD]:
            name = self._names.get(pipeline)
            if name is not None:
                # Also those that there are none of: Prometheus sees only a rise from 0.
                for outcome in ENDED:
                    number = ran.outcomes[outcome]
                    sheet.put("mlops_pipeline_runs_finished_total", number, pipeline=name, outcome=outcome)
                sheet.put("mlops_pipeline_last_success_timestamp_seconds", ran.succeeded, pipeline=name)

    def _take(self, into: dict[str, Ran], counted: Counted) -> None:
        for row in counted:
            if row.pipeline in self._names:
                ran = Ran(Counter({row.status: row.runs}), row.succeeded, row.newest)
                into.setdefault(row.pipeline, Ran()).add(ran)


def count(connection: Connection, which: str, values: Mapping[str, Any]) -> Counted:
    """Ended runs of declared pipelines that meet a condition of `settled_runs`, by pipeline and outcome."""
    return rows(connection, _RUNS.format(which=which), {"tag": PIPELINE_TAG, **values})


def files(source: Source) -> Collector:
    """Files that runs have left; looks every two minutes."""

    def look(sheet: Sheet) -> None:
        for row in source.rows(_FILES):
            sheet.put("mlops_artifact_bytes", row.bytes, storage=row.storage)

    return Collector("pipeline_files", of_group("pipelines", only=FILES), FILES_SECONDS, look)
