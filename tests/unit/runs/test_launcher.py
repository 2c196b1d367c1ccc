"""The launcher against a fake fork server: fallback, recording, termination, health."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus
from dagster._core.run_coordinator import DefaultRunCoordinator

from mlops_assets.runs.client import ForkServerUnavailableError
from mlops_assets.runs.launcher import PROCESS_TAG, ForkRunLauncher, process_of
from mlops_assets.runs.process import ProcessIdentity
from mlops_assets.runs.protocol import Launch, Status
from tests.unit.runs.conftest import MakeInstance, new_run


class FakeForkServer:
    """Stands in for ForkServerClient: answers with a process, or is not there."""

    def __init__(self, identity: ProcessIdentity | None = None, ended: dict[str, int] | None = None) -> None:
        self.identity = identity
        self.ended = ended or {}
        self.requests: list[Launch] = []

    def launch(self, request: Launch, *, record: Callable[[ProcessIdentity], None]) -> ProcessIdentity:
        self.requests.append(request)
        if self.identity is None:
            raise ForkServerUnavailableError("nobody is there")
        record(self.identity)
        return self.identity

    def status(self) -> Status:
        if self.identity is None:
            raise ForkServerUnavailableError("nobody is there")
        return Status(
            pid=1,
            preloaded=(),
            failed={},
            warm=(),
            running={},
            ended=self.ended,
            threads=(),
            resident_megabytes=1.0,
            generation=1,
        )


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that dies of SIGINT, in a session of its own, reaped as soon as it ends."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def launcher_with(make: MakeInstance, server: FakeForkServer, **values: Any) -> ForkRunLauncher:
    """A launcher over the fake, registered with an instance in memory."""
    launcher = ForkRunLauncher(socket_path="/nowhere/fork.sock", **values)
    launcher._client = cast("Any", server)
    make(DefaultRunCoordinator(), launcher)
    return launcher


def started(launcher: ForkRunLauncher, tag: str | None = None) -> tuple[DagsterInstance, DagsterRun]:
    """A run in progress, with a process tag if one is given."""
    instance = launcher._instance
    tags = {PROCESS_TAG: tag} if tag else {}
    return instance, new_run(instance, status=DagsterRunStatus.STARTED, tags=tags)


def status_of(instance: DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    """The run's status now."""
    again = instance.get_run_by_id(run.run_id)
    assert again is not None
    return again.status


def wait_for_status(instance: DagsterInstance, run: DagsterRun, status: DagsterRunStatus) -> None:
    """Wait for a thread of the launcher to report it."""
    deadline = time.monotonic() + 10
    while status_of(instance, run) != status:
        assert time.monotonic() < deadline, f"{status_of(instance, run)} is not {status}"
        time.sleep(0.02)


def test_a_socket_path_that_is_too_long_is_refused_when_the_instance_loads() -> None:
    with pytest.raises(ValueError, match="107"):
        ForkRunLauncher(socket_path="/" + "x" * 200)


def test_a_run_without_origin_is_refused(make_instance: MakeInstance) -> None:
    launcher = launcher_with(make_instance, FakeForkServer())
    _, run = started(launcher)
    with pytest.raises(ValueError, match="job_code_origin"):
        launcher.launch_run(LaunchRunContext(run, workspace=None))


def test_terminate_interrupts_the_process_and_reports_the_end_it_did_not_report(
    make_instance: MakeInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    launcher = launcher_with(make_instance, FakeForkServer())
    instance, run = started(launcher, str(ProcessIdentity.of(sleeper.pid)))
    assert launcher.terminate(run.run_id)
    assert sleeper.wait(10) == -signal.SIGINT
    wait_for_status(instance, run, DagsterRunStatus.CANCELED)
    assert not launcher.terminate(run.run_id)


def test_a_process_that_ignores_the_interrupt_is_killed(make_instance: MakeInstance) -> None:
    code = "import signal, time; signal.signal(2, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    deaf = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert deaf.stdout is not None
    with deaf.stdout:
        deaf.stdout.readline()
        launcher = launcher_with(make_instance, FakeForkServer(), kill_after_seconds=1)
        instance, run = started(launcher, str(ProcessIdentity.of(deaf.pid)))
        assert launcher.terminate(run.run_id)
        assert deaf.wait(10) == -signal.SIGKILL
    wait_for_status(instance, run, DagsterRunStatus.CANCELED)


def test_terminate_spares_a_process_that_reused_the_pid(
    make_instance: MakeInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    earlier = replace(ProcessIdentity.of(sleeper.pid), started="1")
    launcher = launcher_with(make_instance, FakeForkServer())
    instance, run = started(launcher, str(earlier))
    assert launcher.terminate(run.run_id)
    assert status_of(instance, run) == DagsterRunStatus.CANCELED
    assert sleeper.poll() is None


def test_terminate_of_unknown_and_finished_runs_is_false(make_instance: MakeInstance) -> None:
    launcher = launcher_with(make_instance, FakeForkServer())
    instance, run = started(launcher)
    instance.report_run_failed(run)
    assert not launcher.terminate(run.run_id)
    assert not launcher.terminate("no-such-run")
    assert status_of(instance, run) == DagsterRunStatus.FAILURE


def test_health_follows_the_very_process(make_instance: MakeInstance, sleeper: subprocess.Popen[bytes]) -> None:
    identity = ProcessIdentity.of(sleeper.pid)
    launcher = launcher_with(make_instance, FakeForkServer())
    _, run = started(launcher, str(identity))
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    _, other = started(launcher, str(replace(identity, started="1")))
    assert launcher.check_run_worker_health(other).status == WorkerStatus.FAILED
    sleeper.kill()
    sleeper.wait()
    result = launcher.check_run_worker_health(run)
    assert result.status == WorkerStatus.FAILED
    assert str(sleeper.pid) in str(result.msg)


def test_a_run_of_somebody_else_is_left_alone(make_instance: MakeInstance) -> None:
    launcher = launcher_with(make_instance, FakeForkServer())
    _, run = started(launcher)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_a_damaged_tag_counts_as_no_process(make_instance: MakeInstance) -> None:
    launcher = launcher_with(make_instance, FakeForkServer())
    _, run = started(launcher, "../../etc/passwd")
    assert process_of(run) is None


@pytest.mark.parametrize(("code", "text"), [(-9, "SIGKILL"), (-11, "SIGSEGV"), (3, "exit code 3")])
def test_the_end_of_a_process_is_explained(make_instance: MakeInstance, code: int, text: str) -> None:
    server = FakeForkServer(ProcessIdentity(1, "1", "w"))
    launcher = launcher_with(make_instance, server)
    _, run = started(launcher)
    server.ended = {run.run_id: code}
    assert text in str(launcher.get_run_worker_debug_info(run))
    server.identity = None
    assert launcher.get_run_worker_debug_info(run) is None
