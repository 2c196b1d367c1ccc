"""The option of a process per step: an executor that forks each step from the run's own, warm process.

Use it for a job whose steps must not share memory (leaks, crashes, native libraries):
`dg.define_asset_job(..., executor_def=forked_step_executor)`. Everything else runs in process, which is
faster. Keep out steps on other machines. A run that started threads before its first step must not use it.
What a step uses is measured in its own process, without what the run's process does meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import get_retries_config
from dagster._core.executor import multiprocess
from dagster._core.executor.multiprocess import MultiprocessExecutor, MultiprocessExecutorChildProcessCommand

from mlops_assets.runs.measured_steps import Accounts, StageName, accounted, database_url, stage_names
from mlops_assets.runs.usage_rows import UsageRows

if TYPE_CHECKING:
    from dagster import DagsterEvent
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan


class MeasuredCommand(MultiprocessExecutorChildProcessCommand):
    """What the child of one step does, with accounts. `names` were learned by the parent, before it forked."""

    names: Mapping[str, StageName] = {}

    def execute(self) -> Iterator[DagsterEvent]:
        """Execute the step; its events."""
        run, known = self.dagster_run, self.known_state
        before = dict(known.previous_retry_attempts) if known is not None else {}
        accounts = Accounts(run.run_id, run.job_name, self.names, UsageRows(database_url), before)
        return accounted(super().execute(), accounts)


class ForkedSteps(MultiprocessExecutor):
    """Dagster's multiprocess executor whose children measure themselves."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Execute the steps; their events."""
        MeasuredCommand.names = stage_names(execution_plan)
        # Dagster names the class of its children's command nowhere but in the module.
        vars(multiprocess)["MultiprocessExecutorChildProcessCommand"] = MeasuredCommand
        return super().execute(plan_context, execution_plan)


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
def forked_step_executor(init_context: dg.InitExecutorContext) -> ForkedSteps:
    """Dagster's multiprocess executor with the `fork` start method, which its own configuration lacks."""
    from dagster._core.execution.retries import RetryMode

    config: Mapping[str, Any] = init_context.executor_config
    retries = RetryMode.from_config(config["retries"])
    assert retries is not None, "the schema has a default for `retries`"
    return ForkedSteps(
        max_concurrent=config["max_concurrent"],
        retries=retries,
        start_method="fork",
    )
