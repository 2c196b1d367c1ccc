"""Definitions that the tests of limits and retries load: stages that take too long, die, or share a limit.

The harness copies this file under another name into a folder of its own.
"""

import ctypes
import os
import subprocess
import threading
import time
from pathlib import Path

import dagster as dg

from mlops_assets.runs.retries import RETRY
from mlops_assets.runs.stages import Stage

LIMIT_SECONDS = 2.0
SLOW = Stage("homes", "slow", LIMIT_SECONDS, RETRY)
STEADY = Stage("homes", "steady", 600, RETRY)


def told(context: dg.OpExecutionContext, word: str, text: object = "") -> None:
    """Leave a file that the test waits for."""
    path = Path(os.environ["RUN_TEST_FOLDER"], f"{context.run_id}.{word}")
    path.with_suffix(".part").write_text(str(text))
    path.with_suffix(".part").rename(path)


@dg.op(tags=SLOW.op_tags)
@SLOW
def in_python(context: dg.OpExecutionContext) -> None:
    """Waits in Python, with a child that would wait much longer."""
    child = subprocess.Popen(["sleep", "600"])
    told(context, "began", child.pid)
    child.wait()


@dg.op(tags=SLOW.op_tags)
@SLOW
def in_native_code(context: dg.OpExecutionContext) -> None:
    """Waits in C with the interpreter's lock held: no Python code of this process runs, in any thread."""
    child = subprocess.Popen(["sleep", "600"])
    told(context, "began", child.pid)
    ctypes.PyDLL(None).sleep(600)


@dg.op(tags=SLOW.op_tags)
def in_a_thread(context: dg.OpExecutionContext) -> None:
    """Works in a thread of its own, where no signal arrives."""
    body = SLOW(lambda _: time.sleep(600))
    told(context, "began", os.getpid())
    worker = threading.Thread(target=body, args=(context,), daemon=True)
    worker.start()
    # In small waits: a wait for ever would keep the interrupt of a terminated run out, too.
    while worker.is_alive():
        worker.join(0.1)


@dg.op(tags=STEADY.op_tags)
@STEADY
def before(context: dg.OpExecutionContext) -> None:
    """Is done once: a retry of the run goes on after it."""
    told(context, "before")


@dg.op(ins={"start": dg.In(dg.Nothing)}, tags=STEADY.op_tags)
@STEADY
def dies_once(context: dg.OpExecutionContext) -> None:
    """Waits to be killed in the first run, and is done at once in its retries."""
    told(context, "began")
    if context.run.parent_run_id is None:
        time.sleep(600)


@dg.op(tags=STEADY.op_tags)
@STEADY
def always_dies(context: dg.OpExecutionContext) -> None:
    """Ends its own process, every time."""
    os._exit(3)


@dg.op(tags=STEADY.op_tags)
@STEADY
def wrong(context: dg.OpExecutionContext) -> None:
    """Fails for a reason that stays."""
    raise ValueError("the data is wrong")


@dg.op(tags=STEADY.op_tags)
@STEADY
def trains(context: dg.OpExecutionContext) -> None:
    """Is at work until the test says so."""
    told(context, "began")
    while not Path(os.environ["RUN_TEST_FOLDER"], f"{context.run_id}.end").exists():
        time.sleep(0.05)


@dg.job
def slow_in_python() -> None:
    in_python()


@dg.job
def slow_in_native_code() -> None:
    in_native_code()


@dg.job
def slow_in_a_thread() -> None:
    in_a_thread()


@dg.job
def dying() -> None:
    dies_once(before())


@dg.job
def always_dying() -> None:
    always_dies()


@dg.job
def failing() -> None:
    wrong()


@dg.job(tags={"dagster/max_runtime": "2"})
def over_its_time() -> None:
    trains()


@dg.job(tags={"mlops/training": "homes"})
def homes_train() -> None:
    trains()


@dg.job(tags={"mlops/training": "loans"})
def loans_train() -> None:
    trains()


@dg.job
def quick() -> None:
    before()


defs = dg.Definitions(
    jobs=[
        slow_in_python,
        slow_in_native_code,
        slow_in_a_thread,
        dying,
        always_dying,
        failing,
        over_its_time,
        homes_train,
        loans_train,
        quick,
    ],
    executor=dg.in_process_executor,
)
