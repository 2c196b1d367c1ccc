"""When something is tried again: a stage at once within its run, a run whose process died as a new run.

Add here what decides on another try and how long to wait for it. Keep out the stage (`stages`) and the queue that
holds a run back (`coordinator`).
"""

from __future__ import annotations

import random

import dagster as dg

# The house's policy for stages: three more tries after about 5, 15 and 35 s, each 5 s more or less.
RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# Errors of the data, of the code or of the machine's size: the same again would end the same way.
LASTING = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    FileNotFoundError,
    ImportError,
    IsADirectoryError,
    LookupError,
    MemoryError,
    NameError,
    NotADirectoryError,
    PermissionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
LONGEST_DELAY_SECONDS = 600.0
JITTER_SHARE = 0.25


def may_pass(error: BaseException) -> bool:
    """Whether another try may end otherwise: connections, servers and time limits of calls; not data or code.

    An error that knows it itself says so: by `transient`, or as Dagster's Failure by `allow_retries`.
    """
    if isinstance(error, dg.Failure):
        return bool(error.allow_retries)
    known = getattr(error, "transient", None)
    if known is not None:
        return bool(known)
    return not isinstance(error, LASTING)


def run_delay(number: int, run_id: str, first_seconds: float) -> float:
    """Seconds before retry `number` (1, 2, …) of a run may start: doubled each time, at most ten minutes.

    A quarter more or less, drawn from the run's id, so that whoever asks gets the same answer, and runs that died
    together don't come back together.
    """
    delay = min(first_seconds * 2 ** (number - 1), LONGEST_DELAY_SECONDS)
    return delay * (1 + JITTER_SHARE * random.Random(run_id).uniform(-1, 1))  # noqa: S311
