"""The executors of this platform: Dagster's own, and each step's use of the machine is measured and kept.

Add here an executor that runs steps in another way. Keep out measuring (`usage`) and writing (`usage_rows`). An
executor is the one place that sees every step in the process that does it, whoever started the run's process. What
`dg.materialize` and `execute_in_process` run isn't kept: they have executors of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.executor.in_process import InProcessExecutor

from mlops_assets.runs import usage
from mlops_assets.runs.usage_rows import AttemptRow, UsageRows

if TYPE_CHECKING:
    from dagster import DagsterEvent
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan

log = logging.getLogger(__name__)

# First parts of asset keys that are no product's.
PIPELINES, PLATFORM = "pipelines", "platform"
BEGINNINGS = frozenset({"STEP_START", "STEP_RESTARTED"})
ENDINGS = {"STEP_SUCCESS": "SUCCESS", "STEP_UP_FOR_RETRY": "RETRY", "STEP_FAILURE": "FAILURE"}
CANCELED = "CANCELED"
STOPPED = (DagsterExecutionInterruptedError, KeyboardInterrupt, GeneratorExit)


@dataclass(frozen=True)
class StageName:
    """Whose stage a step is: the columns of the same names in `StageUsage`."""

    kind: str
    product: str
    stage: str

    @classmethod
    def of(cls, key: dg.AssetKey | None, step: str) -> StageName:
        """By the key of the step's asset; a step without one is the platform's."""
        first, *rest = key.path if key is not None else (PLATFORM, step)
        if first == PIPELINES and len(rest) > 1:
            return cls("pipeline", rest[0], "/".join(rest[1:]))
        return cls("platform" if first == PLATFORM else "product", first, "/".join(rest) or first)


def stage_names(plan: ExecutionPlan) -> dict[str, StageName]:
    """Whose each step of a plan is, by step key."""
    found = {}
    for step in plan.step_dict.values():
        keys = (output.properties.asset_key for output in step.step_outputs)
        found[step.key] = StageName.of(next((key for key in keys if key is not None), None), step.key)
    return found


@dataclass
class Accounts:
    """What the steps of one run use, from their events; of these, one at a time is at work in this process.

    `attempts`: how often each step was tried before, by step key.
    """

    run_id: str
    job: str
    names: Mapping[str, StageName]
    rows: UsageRows
    attempts: dict[str, int] = field(default_factory=dict)
    _at_work: AttemptRow | None = None

    def hear(self, event: DagsterEvent) -> None:
        """Begin or end an attempt, if the event says so."""
        kind, step = event.event_type_value, event.step_key
        if step is None:
            return
        if kind in BEGINNINGS:
            self._begin(step)
        elif kind in ENDINGS and self._at_work is not None and self._at_work.step_key == step:
            self._end(CANCELED if kind == "STEP_FAILURE" and _was_interrupted(event) else ENDINGS[kind])

    def close(self, outcome: str) -> None:
        """The run goes no further here; `outcome` is that of an attempt that didn't tell of its end."""
        if self._at_work is not None:
            self._end(outcome)
        self.rows.close()

    def _begin(self, step: str) -> None:
        number = self.attempts[step] = self.attempts.get(step, 0) + 1
        name = self.names.get(step) or StageName.of(None, step)
        self._at_work = AttemptRow(
            self.run_id, step, number, name.kind, name.product, name.stage, self.job, started_at=datetime.now(UTC)
        )
        self.rows.put(self._at_work)
        usage.begin()

    def _end(self, outcome: str) -> None:
        row, self._at_work = self._at_work, None
        used = usage.end()
        if row is not None:
            self.rows.put(replace(row, ended_at=datetime.now(UTC), outcome=outcome, used=used))


def accounted(events: Iterator[DagsterEvent], accounts: Accounts) -> Iterator[DagsterEvent]:
    """The same events, each heard before whoever asked gets it. What goes wrong with accounts stays here."""
    outcome = "FAILURE"
    try:
        for event in events:
            try:
                accounts.hear(event)
            except Exception:
                log.exception("what a stage uses can't be measured")
            yield event
        outcome = CANCELED
    except STOPPED:
        outcome = CANCELED
        raise
    finally:
        accounts.close(outcome)


class MeasuredInProcess(InProcessExecutor):
    """Dagster's executor in the run's own process, with accounts."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Execute the steps; their events."""
        run = plan_context.dagster_run
        plan = plan_context.execution_plan
        before = dict(plan.known_state.previous_retry_attempts)
        accounts = Accounts(run.run_id, run.job_name, stage_names(plan), UsageRows(database_url), before)
        return accounted(super().execute(plan_context, execution_plan), accounts)


def database_url() -> str:
    """Where this installation keeps its tables."""
    from mlops_assets.settings import load

    return load().database


@dg.executor(name="in_process", config_schema=IN_PROC_CONFIG)
def measured_in_process_executor(init_context: dg.InitExecutorContext) -> MeasuredInProcess:
    """Dagster's `in_process` under its name and with its configuration, and what each step uses is kept."""
    create: Any = dg.in_process_executor.executor_creation_fn
    plain = create(init_context)
    return MeasuredInProcess(
        retries=plain.retries,
        marker_to_close=plain.marker_to_close,
        step_dependency_config=plain.step_dependency_config,
    )


def _was_interrupted(event: DagsterEvent) -> bool:
    return event.step_failure_data.error_source.value == "INTERRUPT"
