"""What a run of a declared pipeline costs, and what pipelines and schedules cost that rest.

Add here another cost of runs, stages, pipelines or of the programs that look after them. Keep out costs of answers
(`unit_costs_log`) and how they are kept (`unit_costs`). CPU is that of a program with its children, and of the ended
ones; bytes in PostgreSQL are those of copies of a real run, with indexes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from sqlalchemy import Engine, create_engine, text

from tests.benchmarks.pipeline_history import fill_pipelines, fill_runs
from tests.benchmarks.pipeline_runs import TWO_STAGE, chain
from tests.benchmarks.unit_costs_log import family_cpu, sizes, wal
from tests.integration.pipeline_rig import FINAL, PipelineRig

PROGRAMS = ("pipelines", "runs", "stages", "webserver", "daemon", "metrics", "api")
FEW, MANY = 10, 1_000
COPIES = 2_000
# The daemon looks at schedules once a minute.
RESTING_SECONDS = 60.0
SETTLE_SECONDS = 6.0
# After a thousand new pipelines: by then all have been looked at for the first time.
SETTLE_MANY_SECONDS = 66.0
ASK_SECONDS, RUN_SECONDS = 0.5, 120.0
# So many schedules come due in the same minute.
AT_ONCE, BEFORE_SECONDS = 20, 5.0
BURST_SECONDS = 240.0
OF_RUNS = ("runs", "run_tags", "event_logs", "asset_event_tags")
OF_OURS = ("artifact", "stage_usage")
Figures = dict[str, Any]

_USAGE_COPIES = """
INSERT INTO mlops.stage_usage
SELECT (made.one).* FROM (
  SELECT jsonb_populate_record(CAST(NULL AS mlops.stage_usage),
    to_jsonb(u) || jsonb_build_object('run_id', gen_random_uuid()::text)) AS one
  FROM (SELECT * FROM mlops.stage_usage ORDER BY started_at LIMIT 2) AS u, generate_series(1, :copies)
) AS made
"""
_SCHEDULED = """
SELECT extract(epoch FROM r.create_timestamp)::float8, extract(epoch FROM r.update_timestamp)::float8
FROM dagster.runs AS r WHERE r.status = 'SUCCESS' AND EXISTS (
  SELECT 1 FROM dagster.run_tags AS t WHERE t.run_id = r.run_id AND t.key = 'mlops/trigger' AND t.value = 'SCHEDULED')
ORDER BY 1
"""


class Programs:
    """The programs of a rig as the system sees them."""

    def __init__(self, rig: PipelineRig) -> None:
        self._processes = {name: psutil.Process(running.pid) for name, (running, _) in rig._running.items()}

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each so far."""
        return {name: family_cpu(process) for name, process in self._processes.items()}

    def megabytes(self) -> dict[str, float]:
        """Proportional memory of each with its children: what is shared counts once."""
        return {name: round(family_bytes(process) / 1e6, 1) for name, process in self._processes.items()}

    def resting(self, settle: float) -> dict[str, float]:
        """Cores that each takes while nothing is asked of it, `settle` seconds from now."""
        time.sleep(settle)
        before = self.cpu()
        time.sleep(RESTING_SECONDS)
        return {name: round((after - before[name]) / RESTING_SECONDS, 4) for name, after in self.cpu().items()}


def family_bytes(process: psutil.Process) -> int:
    """Proportional memory of a process with its children; one that ends meanwhile has none."""
    found = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            found += one.memory_full_info().pss
    return found


@contextmanager
def database_of(rig: PipelineRig) -> Iterator[Engine]:
    """Of its own, closed afterwards."""
    engine = create_engine(rig.settings.database)
    yield engine
    engine.dispose()


def measured(runs: int) -> Figures:
    """Every cost, over `runs` real runs of two stages."""
    with PipelineRig(programs=PROGRAMS) as rig, database_of(rig) as engine:
        programs = Programs(rig)
        fill_pipelines(rig, FEW)
        rig.create(TWO_STAGE)
        found: Figures = {"pipelines": [FEW, MANY], "run": _run(rig, engine, programs, runs)}
        found["stage_cpu_seconds"] = _stage_cpu(rig, programs, max(3, runs // 4), found["run"]["cpu_seconds"])
        found["connections"] = _connections(rig, engine)
        found["few"] = {"cores": programs.resting(SETTLE_SECONDS), "memory_mb": programs.megabytes()}
        found["bytes"] = _bytes(rig, engine)
        fill_pipelines(rig, MANY)
        found["many"] = {"cores": programs.resting(SETTLE_MANY_SECONDS), "memory_mb": programs.megabytes()}
    return found | {"load_average": round(os.getloadavg()[0], 2)}


def schedules() -> Figures:
    """What a schedule costs that is due together with others, beside few pipelines and beside many."""
    with PipelineRig() as rig, database_of(rig) as engine:
        programs = Programs(rig)
        fill_pipelines(rig, FEW)
        few = _burst(rig, engine, programs, "few")
        fill_pipelines(rig, MANY)
        many = _burst(rig, engine, programs, "many")
    return {"few": few, "many": many, "load_average": many["load_average"]}


def _run(rig: PipelineRig, engine: Engine, programs: Programs, count: int) -> Figures:
    """One run after the other; asked rarely how it goes, as asking costs too."""
    for _ in range(3):
        _finished(rig, "two_stage")
    before, written, files = programs.cpu(), wal(engine), _disk(rig)
    for _ in range(count):
        _finished(rig, "two_stage")
    used = {name: round((after - before[name]) / count, 4) for name, after in programs.cpu().items()}
    return {
        "runs": count,
        "cpu_seconds": round(sum(used.values()), 3),
        "cpu_seconds_by_program": used,
        "wal_bytes": round((wal(engine) - written) / count),
        "disk_bytes": round((_disk(rig) - files) / count),
    }


def _finished(rig: PipelineRig, pipeline: str) -> None:
    run = rig.run(pipeline)
    give_up = time.monotonic() + RUN_SECONDS
    while (status := rig.read(run)["status"]) not in FINAL and time.monotonic() < give_up:
        time.sleep(ASK_SECONDS)
    assert status == "COMPLETED", f"run {run} of {pipeline} is {status}"


def _stage_cpu(rig: PipelineRig, programs: Programs, rounds: int, of_two: float) -> float:
    """CPU seconds that a further trivial stage adds."""
    rig.create(chain("ten", 10))
    _finished(rig, "ten")
    before = sum(programs.cpu().values())
    for _ in range(rounds):
        _finished(rig, "ten")
    ten = (sum(programs.cpu().values()) - before) / rounds
    return round((ten - of_two) / 8, 4)


def _connections(rig: PipelineRig, engine: Engine) -> dict[str, int]:
    """Connections to PostgreSQL of orchestration at rest, and how many more while a run of one stage goes."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    source = "import time\ndef run():\n    time.sleep(3)"
    stage = {"name": "wait", "stage_type": "CUSTOM", "custom_name": "wait", "source": source}
    rig.create({"name": "connected", "stages": [stage]})
    time.sleep(SETTLE_SECONDS)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        rest = most = int(connection.scalar(text(asked)))
        run = rig.run("connected")
        while rig.read(run)["status"] not in FINAL:
            most = max(most, int(connection.scalar(text(asked))))
    return {"rest": rest, "run": most - rest}


def _disk(rig: PipelineRig) -> int:
    """Bytes of results and logs of runs, on the installation's own disk."""
    places = (rig.home / "storage", rig.settings.logs / "runs", rig.settings.stage_logs)
    found = 0
    for place in places:
        for root, _, names in os.walk(place):
            found += sum(_blocks(Path(root) / name) for name in names)
    return found


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _bytes(rig: PipelineRig, engine: Engine) -> Figures:
    """Rows of one run, and its bytes in each table, by copies of a real one."""
    names = [*(f"dagster.{name}" for name in OF_RUNS), *(f"mlops.{name}" for name in OF_OURS)]
    before = {name: sum(sizes(engine, name)) for name in names}
    counts = {name: _rows(engine, name) for name in names}
    fill_runs(rig, COPIES, FEW)
    with engine.begin() as connection:
        connection.execute(text(_USAGE_COPIES), {"copies": COPIES})
    return {
        "copies": COPIES,
        "rows": {name: round((_rows(engine, name) - counts[name]) / COPIES, 1) for name in names},
        "bytes": {name: round((sum(sizes(engine, name)) - before[name]) / COPIES) for name in names},
    }


def _rows(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")))


def _burst(rig: PipelineRig, engine: Engine, programs: Programs, name: str) -> Figures:
    """Schedules that come due in one minute: how long the daemon takes to order their runs, and until all have ended.

    Each run is of one stage that waits half a second.
    """
    source = "import time\ndef run():\n    time.sleep(0.5)"
    stage = {"name": "wait", "stage_type": "CUSTOM", "custom_name": "wait", "source": source}
    # The daemon looks once a minute: a schedule that it hasn't seen before a minute begins isn't due in it.
    time.sleep(62 - time.time() % 60 if time.time() % 60 > 40 else 0)
    due = (time.time() // 60 + 2) * 60
    minute = time.gmtime(due).tm_min
    for number in range(AT_ONCE):
        rig.create({"name": f"{name}_{number:02d}", "schedule": f"{minute} * * * *", "stages": [stage]})
    time.sleep(max(0.0, due - time.time() - BEFORE_SECONDS))
    before, known = programs.cpu(), len(_ended(engine))
    give_up = time.monotonic() + BURST_SECONDS
    while len(runs := _ended(engine)[known:]) < AT_ONCE:
        assert time.monotonic() < give_up, f"{len(runs)} of {AT_ONCE} scheduled runs ended"
        time.sleep(ASK_SECONDS)
    ordered = [order for order, _ in runs]
    between = [later - earlier for earlier, later in pairwise(ordered)]
    return {
        "load_average": round(os.getloadavg()[0], 2),
        "cpu_seconds_by_program": {
            name: round((after - before[name]) / AT_ONCE, 4) for name, after in programs.cpu().items()
        },
        "runs": AT_ONCE,
        "limit": rig.settings.max_concurrent_pipeline_runs,
        "work_seconds": 0.5,
        "tick_seconds": round(median(between), 4),
        "slowest_tick_seconds": round(max(between), 4),
        "ordered_seconds": round(ordered[-1] - ordered[0], 2),
        "seconds": round(max(end for _, end in runs) - ordered[0], 2),
    }


def _ended(engine: Engine) -> list[tuple[float, float]]:
    """Scheduled runs that have ended: when each was ordered, in this order, and when it ended."""
    with engine.connect() as connection:
        return [(order, end) for order, end in connection.execute(text(_SCHEDULED))]
