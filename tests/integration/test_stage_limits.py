"""Time limits of stages on a real platform: in Python, in native code, in a thread, and never retried as a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.run_platform import Options, Platform, wait_for
from tests.integration.run_records import events_of, messages, runs_of, unfinished, will_be_retried

GRACE_SECONDS = 2


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform that gives a stage two seconds after its limit, and retries runs that died."""
    options = Options(
        source=Path(__file__).with_name("surviving_definitions.py"),
        launcher=f"stage_grace_seconds: {GRACE_SECONDS}",
        coordinator="retry_delay_seconds: 1",
        settings="run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}",
    )
    with Platform(options) as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet(platform: Platform) -> Iterator[None]:
    yield
    for run_id in unfinished(platform):
        platform.terminate(run_id)
    wait_for(lambda: not unfinished(platform), 60, "the runs of a test to end")


def child_of(platform: Platform, run_id: str) -> psutil.Process:
    """The process that the stage has started."""
    platform.began(run_id)
    return psutil.Process(int((platform.folder / f"{run_id}.began").read_text()))


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_python_code_is_interrupted_and_its_child_ends(platform: Platform) -> None:
    run = platform.launch("slow_in_python")
    child = child_of(platform, run)
    process = platform.process(run)
    assert platform.finish(run) == "FAILURE"
    said = messages(platform, run)
    assert "stage slow of homes took longer than 2 s" in said
    assert "was killed" not in said
    wait_for(lambda: gone(child), 10, "the stage's child to end")
    wait_for(lambda: not process.is_alive(), 10, "the run's process to end")
    assert not events_of(platform, run, "ExecutionStepUpForRetryEvent")
    assert not will_be_retried(platform, run)


@pytest.mark.parametrize("job", ["slow_in_native_code", "slow_in_a_thread"])
def test_code_that_cant_be_interrupted_loses_its_process_and_the_reason_is_told(platform: Platform, job: str) -> None:
    run = platform.launch(job)
    child = child_of(platform, run)
    process = platform.process(run)
    assert platform.finish(run) == "FAILURE"
    said = messages(platform, run)
    assert f"stage slow of homes took longer than 2 s and did not stop within {GRACE_SECONDS} s more" in said
    assert not process.is_alive()
    wait_for(lambda: gone(child), 10, "what the stage started to end")
    assert len(events_of(platform, run, "ExecutionStepFailureEvent")) == 1
    assert not will_be_retried(platform, run)


def test_a_run_over_its_own_time_is_ended_and_not_retried(platform: Platform) -> None:
    run = platform.launch("over_its_time")
    process = platform.process(run)
    assert platform.finish(run) == "FAILURE"
    assert "the run took longer than 2 s" in messages(platform, run)
    assert len(events_of(platform, run, "RunFailureEvent")) == 1
    wait_for(lambda: not process.is_alive(), 20, "its process to end")
    assert not will_be_retried(platform, run)
    assert runs_of(platform, "over_its_time") == [run]


def test_a_terminated_stage_ends_at_once_and_is_not_tried_again(platform: Platform) -> None:
    run = platform.launch("homes_train")
    platform.began(run)
    platform.terminate(run)
    assert platform.finish(run) == "CANCELED"
    assert not events_of(platform, run, "ExecutionStepUpForRetryEvent")
    assert "was killed" not in messages(platform, run)
