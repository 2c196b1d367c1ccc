"""Attempts of stages, read from what each wrote of itself (`storage.usage_tables`).

Add a figure of stages here. All declared pipelines are one product here, with one stage. Keep out runs (`runs`).
"""

# ruff: noqa: S608 (the statements are put together from constants of this file only)
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.settled_runs import UNENDED, Counted
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import OTHER, Sheet, Spread, safe
from mlops_assets.observability.exporter.metrics import STAGE_SECONDS
from mlops_assets.settings import Settings

EVERY_SECONDS = 15.0
STEP = timedelta(days=1)
# A row of the process that ends a stage may come this long after the stage began, if it is the first one written.
LATE = timedelta(hours=6)
LOST = "LOST"
OUTCOMES = ("SUCCESS", "FAILURE", "RETRY", "CANCELED", LOST)
# So many stages are told apart in memory; the others are one.
MOST_STAGES = 500
GB = 1e9
HOUR = 3600.0

_NAMES = """
CASE kind WHEN 'pipeline' THEN 'pipelines' ELSE left(product, 101) END AS product,
CASE kind WHEN 'pipeline' THEN 'declared' ELSE left(stage, 101) END AS stage
"""
_ENDED = f"""
SELECT {_NAMES}, outcome, width_bucket(wall_seconds - 1e-9, CAST(:bounds AS double precision[])) AS bucket,
  count(*) AS attempts, sum(wall_seconds) AS wall, sum(cpu_seconds) AS cpu, sum(read_bytes) AS read,
  sum(written_bytes) AS written, sum(peak_memory_bytes * wall_seconds) AS memory_seconds, max(started_at) AS newest
FROM mlops.stage_usage WHERE outcome IS NOT NULL AND started_at >= :since AND started_at < :until
GROUP BY 1, 2, 3, 4
"""
# Those whose process died: no outcome, and the run has ended or is gone.
_LOST = f"""
SELECT {_NAMES}, count(*) AS attempts, max(started_at) AS newest FROM mlops.stage_usage AS u
WHERE outcome IS NULL AND NOT EXISTS (
  SELECT 1 FROM dagster.runs AS r WHERE r.run_id = u.run_id AND r.status = ANY(:unended))
GROUP BY 1, 2
"""
_EDGES = """
SELECT (SELECT min(started_at) FROM mlops.stage_usage) AS first, now() AS now,
  (SELECT min(u.started_at) FROM mlops.stage_usage AS u JOIN dagster.runs AS r ON r.run_id = u.run_id
   WHERE u.outcome IS NULL AND r.status = ANY(:unended)) AS going
"""
# Each stage of the platform and of products, the kinds behind "pipeline", by one step through the index, and its newest
# attempt by another.
_PEAKS = """
WITH RECURSIVE known AS (
  (SELECT kind, product, stage FROM mlops.stage_usage WHERE kind > 'pipeline' ORDER BY kind, product, stage LIMIT 1)
  UNION ALL
  SELECT following.* FROM known, LATERAL (
    SELECT kind, product, stage FROM mlops.stage_usage
    WHERE (kind, product, stage) > (known.kind, known.product, known.stage)
    ORDER BY kind, product, stage LIMIT 1) AS following
)
SELECT known.*, newest.peak FROM known, LATERAL (
  SELECT peak_memory_bytes AS peak, started_at FROM mlops.stage_usage AS u
  WHERE (u.kind, u.product, u.stage) = (known.kind, known.product, known.stage) AND peak_memory_bytes IS NOT NULL
  ORDER BY started_at DESC LIMIT 1) AS newest
ORDER BY newest.started_at DESC LIMIT :most
"""

Key = tuple[str, str]


@dataclass
class Used:
    """What all attempts of one stage used, in seconds and bytes."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: Spread = field(default_factory=lambda: Spread((0.0,) * (len(STAGE_SECONDS) + 1), 0.0))
    cpu: float = 0.0
    read: float = 0.0
    written: float = 0.0
    memory_seconds: float = 0.0
    newest: float = 0.0

    def add(self, other: Used) -> None:
        """Take the other's attempts in."""
        self.outcomes.update(other.outcomes)
        self.seconds += other.seconds
        for name in ("cpu", "read", "written", "memory_seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.newest = max(self.newest, other.newest)


Stages = dict[Key, Used]


def collector(source: Source, settings: Settings) -> Collector:
    """Looks every fifteen seconds."""
    return Collector("stages", of_group("stages"), EVERY_SECONDS, LookAtStages(source, settings))


class LookAtStages:
    """Remembers what was counted of attempts that began so long ago that nothing is added to them."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self._source, self._settings = source, settings
        self._settled: Stages = {}
        self._until: datetime | None = None

    def __call__(self, sheet: Sheet) -> None:
        """Raises SQLAlchemyError."""
        with self._source.asking() as connection:
            edges = connection.execute(text(_EDGES), {"unended": UNENDED}).one()
        if edges.first is None:
            return
        self._settle(edges.first, min(edges.now - LATE, edges.going or edges.now))
        with self._source.asking() as connection:
            # A step ahead of our clock: rows may be stamped by another one.
            young = _counted(connection, self._until or edges.first, edges.now + STEP)
            lost = rows(connection, _LOST, {"unended": UNENDED})
            peaks = rows(connection, _PEAKS, {"most": MOST_STAGES})
        for row in lost:
            key = (safe(row.product), safe(row.stage))
            young.setdefault(key, Used()).add(Used(Counter({LOST: row.attempts}), newest=row.newest.timestamp()))
        self._put(sheet, _both(self._settled, young))
        for row in peaks:
            sheet.put("mlops_stage_peak_memory_bytes", row.peak, product=row.product, stage=row.stage)

    def _settle(self, first: datetime, edge: datetime) -> None:
        """Count day by day, so that no statement takes long and a failure loses no step that was taken."""
        while (since := self._until or first) < edge:
            until = min(edge, since + STEP)
            with self._source.asking() as connection:
                counted = _counted(connection, since, until)
            self._settled = _shrunk(_both(self._settled, counted))
            self._until = until

    def _put(self, sheet: Sheet, stages: Stages) -> None:
        settings = self._settings
        for (product, stage), used in sorted(stages.items(), key=lambda item: -item[1].newest):
            # Also those that there are none of: Prometheus sees only a rise from 0.
            for outcome in OUTCOMES:
                number = used.outcomes[outcome]
                sheet.put("mlops_stages_finished_total", number, product=product, stage=stage, outcome=outcome)
            sheet.spread("mlops_stage_duration_seconds", used.seconds, product=product, stage=stage)
            sheet.put("mlops_stage_cpu_seconds_total", used.cpu, product=product, stage=stage)
            sheet.put("mlops_stage_read_bytes_total", used.read, product=product, stage=stage)
            sheet.put("mlops_stage_written_bytes_total", used.written, product=product, stage=stage)
            cost = used.cpu / HOUR * settings.cpu_hour_price
            cost += used.memory_seconds / HOUR / GB * settings.gb_hour_price
            sheet.put("mlops_cost_total", cost, product=product, currency=settings.price_currency)


def _counted(connection: Connection, since: datetime, until: datetime) -> Stages:
    asked: Mapping[str, Any] = {"since": since, "until": until, "bounds": list(STAGE_SECONDS)}
    return _stages(rows(connection, _ENDED, asked))


def _stages(counted: Counted) -> Stages:
    found: Stages = {}
    for row in counted:
        used = Used(Counter({row.outcome: row.attempts}), newest=row.newest.timestamp())
        if row.bucket is not None:
            counts = [0.0] * (len(STAGE_SECONDS) + 1)
            counts[row.bucket] = float(row.attempts)
            used.seconds = Spread(tuple(counts), float(row.wall))
        used.cpu, used.read, used.written = float(row.cpu or 0), float(row.read or 0), float(row.written or 0)
        used.memory_seconds = float(row.memory_seconds or 0)
        found.setdefault((safe(row.product), safe(row.stage)), Used()).add(used)
    return found


def _both(one: Stages, other: Stages) -> Stages:
    both: Stages = {}
    for stages in (one, other):
        for key, used in stages.items():
            both.setdefault(key, Used()).add(used)
    return both


def _shrunk(stages: Stages) -> Stages:
    least = sorted(stages, key=lambda key: -stages[key].newest)[MOST_STAGES:]
    for key in least:
        if key != (OTHER, OTHER):
            stages.setdefault((OTHER, OTHER), Used()).add(stages.pop(key))
    return stages
