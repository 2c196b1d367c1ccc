"""Definitions that the tests and the benchmark of runs load: a two-stage product and jobs that wait or print.

The harness copies this file under another name into a folder of its own, so that a test may change it.
"""

import os
import sys
import time
from pathlib import Path

import dagster as dg

from mlops_assets.runs.step_processes import forked_step_executor

MARK = "first"


@dg.asset
def rows() -> dg.MaterializeResult:
    """Stage one: 1,000 rows with pandas, written to the folder that the environment names."""
    import numpy as np
    import pandas as pd

    area = np.linspace(300, 3000, 1000)
    frame = pd.DataFrame({"area": area, "bath": area // 900 + 1})
    frame["price"] = frame["area"] * 0.07 + frame["bath"] * 3
    frame.to_pickle(_folder() / "rows.pkl")
    return dg.MaterializeResult(metadata={"rows": len(frame), "pid": os.getpid(), "mark": MARK})


@dg.asset(deps=[rows])
def model() -> dg.MaterializeResult:
    """Stage two: a linear regression of stage one's rows."""
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    frame = pd.read_pickle(_folder() / "rows.pkl")
    fitted = LinearRegression().fit(frame[["area", "bath"]], frame["price"])
    score = float(fitted.score(frame[["area", "bath"]], frame["price"]))
    return dg.MaterializeResult(metadata={"r2": score, "pid": os.getpid()})


class Wait(dg.Config):
    """How long to wait, and the file that says that the wait began."""

    seconds: float = 30.0
    stubborn: bool = False


@dg.op
def wait(context: dg.OpExecutionContext, config: Wait) -> None:
    """Wait in small steps, so that an interrupt gets through; `stubborn` swallows every interrupt."""
    Path(_folder(), f"{context.run_id}.began").touch()
    end = time.monotonic() + config.seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.05)
        except BaseException:
            if not config.stubborn:
                raise


@dg.op
def speak() -> None:
    """Print to both streams, also from a child process."""
    print("said to stdout")
    print("said to stderr", file=sys.stderr)
    os.system("echo said by a child process")


@dg.job
def waiting() -> None:
    """One step that waits."""
    wait()


@dg.job
def speaking() -> None:
    """One step that prints."""
    speak()


def _folder() -> Path:
    return Path(os.environ["RUN_TEST_FOLDER"])


two_stage = dg.define_asset_job("two_stage", selection="*")
two_stage_default = dg.define_asset_job("two_stage_default", selection="*", executor_def=dg.multiprocess_executor)
two_stage_isolated = dg.define_asset_job("two_stage_isolated", selection="*", executor_def=forked_step_executor)

defs = dg.Definitions(
    assets=[rows, model],
    jobs=[two_stage, two_stage_default, two_stage_isolated, waiting, speaking],
    executor=dg.in_process_executor,
)
