"""What accounts use of Dagster's internals: a new version that changes one fails here, by name."""

from __future__ import annotations

import inspect

import dagster as dg
import pytest
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.retries import RetryMode
from dagster._core.executor import multiprocess
from dagster._core.executor.in_process import InProcessExecutor

from mlops_assets.runs.measured_steps import measured_in_process_executor


def test_a_childs_command_is_looked_up_in_its_module_when_a_step_is_started() -> None:
    source = inspect.getsource(multiprocess.execute_step_out_of_process)
    assert "command = MultiprocessExecutorChildProcessCommand(" in source
    fields = inspect.signature(multiprocess.MultiprocessExecutorChildProcessCommand).parameters
    assert {"dagster_run", "known_state", "step_key"} <= fields.keys()


def test_earlier_tries_are_known() -> None:
    assert KnownExecutionState(previous_retry_attempts={"step": 2}).previous_retry_attempts == {"step": 2}


def test_the_executor_in_process_can_be_made_again_from_what_it_tells() -> None:
    parameters = inspect.signature(InProcessExecutor).parameters
    assert parameters.keys() == {"retries", "marker_to_close", "step_dependency_config"}
    plain = InProcessExecutor(retries=RetryMode.ENABLED)
    assert all(hasattr(plain, name) for name in ("retries", "step_dependency_config"))


@pytest.mark.parametrize("config", [{}, {"retries": {"disabled": {}}}])
def test_our_executor_takes_the_configuration_of_dagsters(config: dict[str, object]) -> None:
    @dg.op
    def nothing() -> None:
        """Does nothing."""

    @dg.job(executor_def=measured_in_process_executor)
    def job() -> None:
        nothing()

    assert measured_in_process_executor.name == dg.in_process_executor.name
    assert dg.validate_run_config(job, {"execution": {"config": config}})
