"""What it costs a stage that its use of the machine is measured and kept: with accounts and without, in turns.

`python -m tests.benchmarks.stage_usage [--rounds 40]` prints a table and writes results/stage_usage.json; exit code 1
when a goal is missed. The stages do nothing, on a real PostgreSQL. A run of one stage pays for its connection too.
"""

import argparse
import json
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
from rich.console import Console
from rich.table import Table

from mlops_assets.runs import usage
from mlops_assets.runs.measured_steps import measured_in_process_executor
from mlops_assets.runs.stages import Stage
from mlops_assets.storage.database import Database
from tests.servers import running_postgres

RESULT = Path(__file__).with_name("results") / "stage_usage.json"
GOAL_MS = 20.0
SIZES = (1, 10)
NOTHING = usage.Used(0.0, 0.0, 0, None, None)


class NoMeter:
    """Measures nothing."""

    def so_far(self) -> usage.Used:
        """Nothing."""
        return NOTHING


@contextmanager
def unmeasured() -> Iterator[NoMeter]:
    """In place of `usage.metered`."""
    yield NoMeter()


def job(count: int, measured: bool) -> dg.JobDefinition:
    """A chain of stages that do nothing."""
    assets: list[dg.AssetsDefinition] = []
    for number in range(count):
        stage = Stage("benchmark", f"stage_{number}", 60)

        @dg.asset(key=["benchmark", f"stage_{number}"], deps=assets[-1:], op_tags=stage.op_tags)
        @stage
        def nothing(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            return dg.MaterializeResult()

        assets.append(nothing)
    executor = measured_in_process_executor if measured else dg.in_process_executor
    return dg.Definitions(assets=assets, jobs=[dg.define_asset_job("all", "*")], executor=executor).resolve_job_def(
        "all"
    )


def seconds(instance: dg.DagsterInstance, count: int, measured: bool) -> tuple[float, float]:
    """One run's time, and its CPU time in this process, which says more than that on a machine that is busy."""
    found = dg.build_reconstructable_job(__name__, "job", (count, measured))
    found.get_definition()
    began, began_cpu = time.perf_counter(), time.process_time()
    with dg.execute_job(found, instance) as result:
        assert result.success
    return time.perf_counter() - began, time.process_time() - began_cpu


Times = tuple[float, float]


def pairs(instance: dg.DagsterInstance, count: int, rounds: int) -> list[tuple[Times, Times]]:
    """Times with and without accounts, in turns, the first of each pair by turns too."""
    found = []
    for number in range(rounds + 1):
        times = {}
        for measured in (True, False) if number % 2 else (False, True):
            with patch.object(usage, "metered", usage.metered if measured else unmeasured):
                times[measured] = seconds(instance, count, measured)
        found.append((times[True], times[False]))
    return found[1:]  # the first ones load what they need


def measure(url: str, rounds: int) -> list[dict[str, Any]]:
    """A row for each length of a run. In a process without children: the server would be measured with each stage."""
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    os.environ["MLOPS_DATABASE_URL"] = url
    rows = []
    with dg.DagsterInstance.ephemeral() as instance:
        for count in SIZES:
            found = pairs(instance, count, rounds)
            extra, cpu = (sorted((on[kind] - off[kind]) / count * 1000 for on, off in found) for kind in (0, 1))
            rows.append(
                {
                    "stages": count,
                    "rounds": rounds,
                    "with_ms_a_stage": statistics.median(on[0] for on, _ in found) / count * 1000,
                    "without_ms_a_stage": statistics.median(off[0] for _, off in found) / count * 1000,
                    "extra_ms_a_stage": statistics.median(extra),
                    "extra_p95_ms_a_stage": extra[int(0.95 * (len(extra) - 1))],
                    "extra_cpu_ms_a_stage": statistics.median(cpu),
                }
            )
    return rows


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="usage-") as folder, running_postgres(Path(folder)) as url:
        database = Database.connect(url)
        database.migrate()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows = pool.submit(measure, url, asked.rounds).result()
        with database.engine.connect() as connection:
            kept = connection.exec_driver_sql(
                "SELECT count(*) FROM mlops.stage_usage WHERE outcome = 'SUCCESS'"
            ).scalar()
        database.dispose()
    assert kept == sum(count * (asked.rounds + 1) for count in SIZES), "a row is missing"
    met = all(row["extra_ms_a_stage"] <= GOAL_MS for row in rows)
    table = Table(title=f"Accounts of stages: at most {GOAL_MS:g} ms a stage: {'met' if met else 'MISSED'}")
    for name in ("stages in a run", "with, ms a stage", "without", "accounts take", "p95", "of it CPU here"):
        table.add_column(name, justify="right")
    for row in rows:
        shown = (
            "with_ms_a_stage",
            "without_ms_a_stage",
            "extra_ms_a_stage",
            "extra_p95_ms_a_stage",
            "extra_cpu_ms_a_stage",
        )
        table.add_row(str(row["stages"]), *(f"{row[name]:.1f}" for name in shown))
    Console().print(table)
    result = {"goal_ms": GOAL_MS, "met": met, "rows": rows, "load_average": os.getloadavg()[0]}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
