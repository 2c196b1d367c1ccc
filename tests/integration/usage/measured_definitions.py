"""Definitions whose runs are measured: a stage that works, one that waits, and the same in processes of their own.

The harness copies this file under another name, beside a copy of the code of runs alone: the rest of the platform is
looked for where it is.
"""

import os
import time
from pathlib import Path

import dagster as dg

import mlops_assets

mlops_assets.__path__.append(os.environ["RUN_TEST_PACKAGE"])

from mlops_assets.runs.measured_steps import measured_in_process_executor  # noqa: E402
from mlops_assets.runs.stages import Stage  # noqa: E402
from mlops_assets.runs.step_processes import forked_step_executor  # noqa: E402

STAGE = Stage("homes", "model", 60)
PARALLEL = Stage("homes", "search", 60)
HELD = (
    "held = bytearray(120_000_000)\nimport time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
)


@dg.asset(key=["homes", "model"], op_tags=STAGE.op_tags)
@STAGE
def model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Half a second of work, 200 MB for a moment, 5 MB written."""
    held = bytearray(200_000_000)
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    Path(os.environ["RUN_TEST_FOLDER"], f"{context.run.run_id}.rows").write_bytes(held[:5_000_000])
    return dg.MaterializeResult(metadata={"pid": os.getpid()})


@dg.asset(key=["homes", "search"], op_tags=PARALLEL.op_tags)
@PARALLEL
def search(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Two processes at once, that are there still when the stage ends."""
    from joblib import Parallel, delayed

    Parallel(n_jobs=2)(delayed(exec)(HELD, {}) for _ in range(2))
    return dg.MaterializeResult()


@dg.asset(key=["homes", "small"])
def small() -> None:
    """Does next to nothing."""


@dg.asset(key=["homes", "waits"])
def waits(context: dg.AssetExecutionContext) -> None:
    """Waits to be ended."""
    Path(os.environ["RUN_TEST_FOLDER"], f"{context.run.run_id}.began").touch()
    time.sleep(60)


def job(name: str, *assets: dg.AssetsDefinition, **more: dg.ExecutorDefinition) -> dg.JobDefinition:
    """A job of these assets."""
    return dg.define_asset_job(name, list(assets), **more)


defs = dg.Definitions(
    assets=[model, search, small, waits],
    jobs=[
        job("train", model),
        job("searching", search),
        job("waiting", waits),
        job("isolated", model, small, executor_def=forked_step_executor),
    ],
    executor=measured_in_process_executor,
)
