"""Which run this process executes, for definitions that are loaded for that run alone.

The id is a variable of the environment, since a run's process may be forked or started anew; both ways set it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

VARIABLE = "MLOPS_RUN_ID"

_instance: DagsterInstance | None = None


def set_current_run(run_id: str, instance: DagsterInstance) -> None:
    """Called once by the process of a run, before it loads anything of it."""
    global _instance
    os.environ[VARIABLE] = run_id
    _instance = instance


def tag_current_run(tags: Mapping[str, str]) -> None:
    """Add tags to the run of this process."""
    from dagster import DagsterInstance

    run_id = os.environ[VARIABLE]
    if _instance is not None:
        _instance.add_run_tags(run_id, tags)
        return
    with DagsterInstance.get() as instance:
        instance.add_run_tags(run_id, tags)


def is_process_of_a_run() -> bool:
    """Whether this process was started to execute a run."""
    return bool(os.environ.get(VARIABLE))


def current_run() -> DagsterRun:
    """The run of this process. LookupError: it executes none, or its run was deleted."""
    from dagster import DagsterInstance

    run_id = os.environ.get(VARIABLE, "")
    if _instance is not None:
        run = _instance.get_run_by_id(run_id)
    else:
        with DagsterInstance.get() as instance:
            run = instance.get_run_by_id(run_id)
    if run is None:
        raise LookupError(f"run {run_id!r} isn't there")
    return run
