"""Runs that survive: a process that was killed, a daemon that was away, runs that always die, stages that fail."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.runs.retries import run_delay
from tests.integration.run_platform import Options, Platform, wait_for
from tests.integration.run_records import events_of, messages, runs_of, unfinished, will_be_retried

MAX_RETRIES = 2
DELAY_SECONDS = 6
# How often the daemon looks at the queue.
LOOK_SECONDS = 1


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform that retries runs twice, the first time after about six seconds."""
    options = Options(
        source=Path(__file__).with_name("surviving_definitions.py"),
        coordinator=f"retry_delay_seconds: {DELAY_SECONDS}",
        settings=f"run_retries: {{enabled: true, max_retries: {MAX_RETRIES}, retry_on_asset_or_op_failure: false}}",
    )
    with Platform(options) as running:
        # Its retries begin with the failures after its first look.
        wait_for(lambda: cursor_kept(running), 60, "the daemon's first look for failed runs")
        yield running


@pytest.fixture(autouse=True)
def _quiet(platform: Platform) -> Iterator[None]:
    if "daemon" not in platform.processes:
        platform.start_daemon()
    if "fork_server" not in platform.processes:
        platform.start_fork_server()
    yield
    for run_id in unfinished(platform):
        platform.terminate(run_id)
    wait_for(lambda: not unfinished(platform), 60, "the runs of a test to end")


def cursor_kept(platform: Platform) -> bool:
    """Whether the daemon has begun to look for failed runs."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(platform.database, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.text("SELECT key FROM kvs WHERE key LIKE 'EVENT_LOG_CONSUMER_CURSOR%'"))
        return bool(found.all())


def retries(platform: Platform, job: str, count: int) -> list[str]:
    """The runs of a job, once there are so many and the newest was submitted."""

    def submitted() -> bool:
        runs = runs_of(platform, job)
        return len(runs) >= count and platform.status(runs[-1]) != "NOT_STARTED"

    wait_for(submitted, 90, f"{count} runs of {job}")
    return runs_of(platform, job)


def waiting(platform: Platform, run_id: str) -> None:
    """Return when it waits in the queue for its time: the daemon has looked there, and passed it over or put it back.

    What the daemon has taken when it is killed is nobody's until run monitoring finds it, after its time limit.
    """
    since = time.monotonic()

    def passed_over() -> bool:
        nonlocal since
        if platform.status(run_id) != "QUEUED":
            since = time.monotonic()
        return time.monotonic() - since > 1.5 * LOOK_SECONDS

    wait_for(passed_over, DELAY_SECONDS, "the daemon to pass a retry over")


def waited(platform: Platform, run_id: str) -> float:
    """Seconds between a run's making and its launch.

    The daemon may take a retry that was queued after it asked for the limits; the launcher puts that back.
    """
    return events_of(platform, run_id, "RunStartingEvent")[-1] - float(platform.run(run_id)["creationTime"])


def test_a_killed_run_starts_again_after_a_while_and_goes_on_where_it_was(platform: Platform) -> None:
    first = platform.launch("dying")
    platform.began(first)
    killed = platform.process(first)
    os.kill(killed.pid, signal.SIGKILL)
    assert platform.finish(first) == "FAILURE"
    assert "SIGKILL" in messages(platform, first)
    _, second = retries(platform, "dying", 2)
    assert platform.finish(second) == "SUCCESS"
    assert platform.process(second) != killed
    assert platform.tags(second)["dagster/retry_number"] == "1"
    assert waited(platform, second) >= run_delay(1, second, DELAY_SECONDS) - 0.1
    # The step that was done is not done again.
    assert (platform.folder / f"{first}.before").exists()
    assert not (platform.folder / f"{second}.before").exists()


def test_others_start_at_once_while_a_retry_waits(platform: Platform) -> None:
    before = len(runs_of(platform, "dying"))
    first = platform.launch("dying")
    platform.began(first)
    os.kill(platform.process(first).pid, signal.SIGKILL)
    second = retries(platform, "dying", before + 2)[-1]
    waiting(platform, second)
    other = platform.launch("quick")
    assert not events_of(platform, other, "RunEnqueuedEvent")
    assert platform.finish(other) == "SUCCESS"
    assert platform.finish(second) == "SUCCESS"


def test_a_retry_that_waits_survives_the_death_of_the_daemon(platform: Platform) -> None:
    before = len(runs_of(platform, "dying"))
    first = platform.launch("dying")
    platform.began(first)
    os.kill(platform.process(first).pid, signal.SIGKILL)
    second = retries(platform, "dying", before + 2)[-1]
    waiting(platform, second)
    platform.stop("daemon", signal.SIGKILL)
    assert platform.status(second) == "QUEUED"
    platform.start_daemon()
    assert platform.finish(second) == "SUCCESS"
    assert len(runs_of(platform, "dying")) == before + 2


def test_a_run_that_always_dies_is_given_up(platform: Platform) -> None:
    platform.launch("always_dying")
    runs = retries(platform, "always_dying", 1 + MAX_RETRIES)
    assert {platform.finish(run) for run in runs} == {"FAILURE"}
    assert [will_be_retried(platform, run) for run in runs] == [True] * MAX_RETRIES + [False]
    for number, run in enumerate(runs[1:], start=1):
        assert waited(platform, run) >= run_delay(number, run, DELAY_SECONDS) - 0.1


def test_a_stage_that_fails_for_a_reason_that_stays_is_not_retried(platform: Platform) -> None:
    run = platform.launch("failing")
    assert platform.finish(run) == "FAILURE"
    assert not events_of(platform, run, "ExecutionStepUpForRetryEvent")
    assert not will_be_retried(platform, run)


def test_a_run_interrupted_by_the_stop_of_the_fork_server_is_taken_up_again(platform: Platform) -> None:
    before = len(runs_of(platform, "dying"))
    first = platform.launch("dying")
    platform.began(first)
    platform.stop("fork_server", signal.SIGTERM)
    assert platform.finish(first) == "FAILURE"
    platform.start_fork_server()
    second = retries(platform, "dying", before + 2)[-1]
    assert platform.finish(second) == "SUCCESS"
