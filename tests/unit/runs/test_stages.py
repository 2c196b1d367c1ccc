"""The rules of a stage: what is tried again and what isn't, the time limit, and what becomes of its processes."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import psutil
import pytest

from mlops_assets.runs import retries
from mlops_assets.runs.retries import LONGEST_DELAY_SECONDS, may_pass, run_delay
from mlops_assets.runs.stage_limits import SIGNAL, TimeLimitError, time_limit
from mlops_assets.runs.stages import TIME_LIMIT_TAG, Stage

AT_ONCE = dg.RetryPolicy(max_retries=2, delay=0.01)
FOR_EVER = 600.0


class BusyError(Exception):
    """Knows itself that it passes."""

    transient = True


def materialized(body: Callable[[Any], Any], seconds: float = 60) -> dg.ExecuteInProcessResult:
    """The result of an asset with this body under the rules of a stage."""
    stage = Stage("homes", "model", seconds, AT_ONCE)

    @dg.asset(op_tags=stage.op_tags)
    @stage
    def model(context: dg.AssetExecutionContext) -> None:
        body(context)

    return dg.materialize([model], raise_on_error=False)


def restarts(result: dg.ExecuteInProcessResult) -> int:
    """How often the step was tried again."""
    return len([e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_RESTARTED])


def reason(result: dg.ExecuteInProcessResult) -> str:
    """Why the step failed, with what lies behind it."""
    (failed,) = [e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    error = failed.step_failure_data.error
    return "" if error is None else error.to_string()


def raising(error: BaseException, times: int = 99) -> Callable[[Any], None]:
    """A body that raises so often and then succeeds."""
    left = [times]

    def body(context: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    return body


def test_what_may_pass_is_tried_again_until_it_has() -> None:
    result = materialized(raising(ConnectionError("no route"), times=2))
    assert result.success
    assert restarts(result) == 2


def test_what_does_not_pass_fails_in_the_end_with_its_own_error() -> None:
    result = materialized(raising(ConnectionError("no route")))
    assert not result.success
    assert restarts(result) == AT_ONCE.max_retries
    assert "no route" in reason(result)


@pytest.mark.parametrize(
    "error", [ValueError("bad row"), KeyError("x"), RuntimeError("graph"), dg.Failure("refused", allow_retries=False)]
)
def test_what_stays_is_not_tried_again(error: Exception) -> None:
    result = materialized(raising(error))
    assert not result.success
    assert restarts(result) == 0


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TimeoutError(), True),
        (OSError("disk"), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (BusyError(), True),
        (dg.Failure("busy"), True),
        (Exception("a driver's own"), True),
        (ZeroDivisionError(), False),
    ],
)
def test_which_errors_may_pass(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes


def test_an_error_that_says_so_itself_wins_over_its_kind() -> None:
    lasting, passing = OSError("read-only"), ValueError("half an answer")
    vars(lasting)["transient"], vars(passing)["transient"] = False, True
    assert not may_pass(lasting)
    assert may_pass(passing)


def test_the_limit_is_declared_where_others_can_read_it() -> None:
    tags = Stage("homes", "model", 1800).op_tags
    assert tags[TIME_LIMIT_TAG] == "1800"
    assert all(isinstance(value, str) for value in tags.values())


def test_a_stage_over_its_time_fails_with_the_reason_and_is_not_tried_again() -> None:
    result = materialized(lambda context: time.sleep(FOR_EVER), seconds=0.2)
    assert not result.success
    assert restarts(result) == 0
    assert "stage model of homes took longer than 0.2 s" in reason(result)


def test_code_that_handles_every_error_is_stopped_too() -> None:
    def stubborn(context: Any) -> None:
        while True:
            try:
                time.sleep(FOR_EVER)
            except Exception:  # noqa: BLE001
                continue

    assert "took longer" in reason(materialized(stubborn, seconds=0.2))


def test_code_that_swallows_the_interruption_fails_when_it_returns() -> None:
    def deaf(context: Any) -> None:
        try:
            time.sleep(FOR_EVER)
        except BaseException:  # noqa: BLE001
            return

    assert "took longer" in reason(materialized(deaf, seconds=0.2))


def test_an_error_after_the_limit_is_told_as_the_limit() -> None:
    def confused(context: Any) -> None:
        try:
            time.sleep(FOR_EVER)
        except BaseException as error:
            raise ConnectionError("gave up") from error

    result = materialized(confused, seconds=0.2)
    assert restarts(result) == 0
    assert "took longer" in reason(result)


def test_what_the_stage_cleans_up_is_cleaned_up() -> None:
    cleaned = []

    def careful(context: Any) -> None:
        try:
            time.sleep(FOR_EVER)
        finally:
            cleaned.append(True)

    materialized(careful, seconds=0.2)
    assert cleaned == [True]


@pytest.fixture
def older() -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process that was there before the stage."""
    child = subprocess.Popen(["sleep", "60"])
    started = psutil.Process(child.pid).create_time()
    # Starts are known to the second: the stage must begin clearly later.
    while time.time() < started + 2.5:
        time.sleep(0.05)
    yield child
    child.kill()
    child.wait()


def test_the_stages_processes_end_and_no_others(older: subprocess.Popen[bytes]) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def parent(context: Any) -> None:
        started.append(subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE))
        time.sleep(FOR_EVER)

    materialized(parent, seconds=0.5)
    (shell,) = started
    assert shell.stdout is not None
    with shell.stdout:
        grandchild = int(shell.stdout.readline())
    assert shell.wait(10) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert older.poll() is None


def test_a_stage_in_time_leaves_nothing_behind() -> None:
    before = signal.getsignal(SIGNAL)
    with time_limit(60):
        pass
    assert signal.getsignal(SIGNAL) == before
    assert not [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, threading.Timer) and thread.is_alive() and not thread.finished.is_set()
    ]


def test_limits_can_be_nested_and_the_outer_one_still_holds() -> None:
    def both() -> None:
        with time_limit(0.3):
            with time_limit(60):
                pass
            time.sleep(FOR_EVER)

    with pytest.raises(TimeLimitError):
        both()


def test_outside_the_main_thread_the_limit_is_told_when_the_code_returns() -> None:
    told: list[BaseException] = []

    def work() -> None:
        try:
            with time_limit(0.05):
                time.sleep(0.1)
        except TimeLimitError as error:
            told.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(30)
    assert told


def test_an_interrupt_passes_through_and_is_not_tried_again() -> None:
    ruled = Stage("homes", "model", 60, AT_ONCE)(raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        ruled(None)


def test_a_runs_delay_doubles_with_some_spread_and_has_an_end() -> None:
    for number, expected in ((1, 10), (2, 20), (3, 40)):
        delays = {run_delay(number, f"run-{i}", 10) for i in range(50)}
        assert all(0.75 * expected <= delay <= 1.25 * expected for delay in delays)
        assert len(delays) > 40
    assert run_delay(1, "a", 10) == run_delay(1, "a", 10)
    assert run_delay(19, "a", 10) <= 1.25 * LONGEST_DELAY_SECONDS


def test_the_houses_policy_backs_off() -> None:
    waits = [retries.RETRY.calculate_delay(attempt) for attempt in (1, 2, 3)]
    assert all(low <= wait <= low + 10 for wait, low in zip(waits, (0, 10, 30), strict=True))
