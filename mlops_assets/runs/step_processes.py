"""The option of a process per step: an executor that forks each step from the run's own, warm process.

Use it for a job whose steps must not share memory (leaks, crashes, native libraries):
`dg.define_asset_job(..., executor_def=forked_step_executor)`. Everything else runs in process, which is
faster. Keep out steps on other machines. A run that started threads before its first step must not use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import get_retries_config

if TYPE_CHECKING:
    from dagster._core.executor.multiprocess import MultiprocessExecutor


@dg.executor(
    name="forked_steps",
    config_schema={
        "max_concurrent": dg.Field(
            dg.Noneable(int),
            default_value=None,
            description="Steps at once; by default one for each core.",
        ),
        "retries": get_retries_config(),  # type: ignore[no-untyped-call]
    },
    requirements=multiple_process_executor_requirements(),
)
def forked_step_executor(init_context: dg.InitExecutorContext) -> MultiprocessExecutor:
    """Dagster's multiprocess executor with the `fork` start method, which its own configuration lacks."""
    from dagster._core.execution.retries import RetryMode
    from dagster._core.executor.multiprocess import MultiprocessExecutor

    config: Mapping[str, Any] = init_context.executor_config
    retries = RetryMode.from_config(config["retries"])
    assert retries is not None, "the schema has a default for `retries`"
    return MultiprocessExecutor(
        max_concurrent=config["max_concurrent"],
        retries=retries,
        start_method="fork",
    )
