"""The Dagster run launcher over the fork server: a run gets its own process in milliseconds.

Add here what Dagster asks of a launcher: launch, terminate, health. Keep out the server and what its
children do. The launcher, the daemon and the fork server share one machine; elsewhere use Dagster's
launchers for it. When the fork server can't start a run, the run starts as `dagster api execute_run`,
slower but never lost.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, Field, IntSource, StringSource
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.storage.tags import MAX_RUNTIME_SECONDS_TAG
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from mlops_assets.runs.client import ForkServerClient, ForkServerUnavailableError
from mlops_assets.runs.coordinator import ImmediateRunCoordinator
from mlops_assets.runs.current import VARIABLE
from mlops_assets.runs.overdue import Overdue, Watch, report_overdue, report_run_over_time, waits_for_retry
from mlops_assets.runs.process import ProcessIdentity
from mlops_assets.runs.protocol import Launch

PROCESS_TAG = "mlops/run_process"
LAUNCH_TAG = "mlops/launched_by"
IDENTITY_WAIT_SECONDS = 2.0
START_WAIT_SECONDS = 3.0
SIGNAL_AGAIN_SECONDS = 2.0
KILLED_WAIT_SECONDS = 5.0


class ForkRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Starts runs through the fork server at `socket_path`, or as plain subprocesses when it is away."""

    def __init__(
        self,
        socket_path: str,
        fallback: bool = True,
        fallback_after_seconds: int = 5,
        kill_after_seconds: int = 30,
        stage_grace_seconds: int = 30,
        run_timeout_seconds: int = 0,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        self._inst_data = inst_data
        self._client = ForkServerClient(socket_path, timeout_seconds=fallback_after_seconds)
        self._fallback = fallback
        self._kill_after_seconds = kill_after_seconds
        self._watch = Watch(stage_grace_seconds)
        self._run_timeout_seconds = run_timeout_seconds
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {
            "socket_path": Field(StringSource, description="Unix socket of the fork server (at most 107 bytes)."),
            "fallback": _optional(
                bool, True, "Start a run as a plain subprocess when the fork server can't; else it fails."
            ),
            "fallback_after_seconds": _optional(
                IntSource, 5, "How long to wait for a fork server that accepts but does not answer."
            ),
            "kill_after_seconds": _optional(
                IntSource, 30, "A terminated run that still has its process after this time loses it."
            ),
            "stage_grace_seconds": _optional(
                IntSource, 30, "A stage still at work this long after its time limit loses its run's process."
            ),
            "run_timeout_seconds": _optional(
                IntSource, 0, "How long a run may take whose job doesn't say it (`dagster/max_runtime`); 0: for ever."
            ),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ForkRunLauncher:
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process; returns as soon as it exists and is recorded in the run's tags."""
        run = context.dagster_run
        coordinator = self._instance.run_coordinator
        if isinstance(coordinator, ImmediateRunCoordinator) and not coordinator.admits(run):
            return
        if run.parent_run_id and run.tags.get(PROCESS_TAG):
            # A run made from another one has its tags too, and must not be mistaken for that one's process.
            self._instance.add_run_tags(run.run_id, {PROCESS_TAG: ""})
        origin = run.job_code_origin
        if origin is None:
            raise ValueError(f"run {run.run_id} has no job_code_origin, so no process can load its job")
        request = Launch(
            run_id=run.run_id,
            instance_ref=serialize_value(self._instance.get_ref()),
            executable=origin.repository_origin.executable_path,
        )
        try:
            self._client.launch(request, record=lambda identity: self._record(run, identity, "fork_server"))
        except ForkServerUnavailableError as error:
            if not self._fallback:
                raise
            self._start_subprocess(run, reason=str(error))

    def _record(self, run: DagsterRun, identity: ProcessIdentity, launched_by: str) -> None:
        tags = {PROCESS_TAG: str(identity), LAUNCH_TAG: launched_by}
        if self._run_timeout_seconds and MAX_RUNTIME_SECONDS_TAG not in run.tags:
            tags[MAX_RUNTIME_SECONDS_TAG] = str(self._run_timeout_seconds)
        self._instance.add_run_tags(run.run_id, tags)

    def _start_subprocess(self, run: DagsterRun, reason: str) -> None:
        from dagster._grpc.types import ExecuteRunArgs

        self._instance.report_engine_event(
            f"The fork server could not start this run ({reason}); starting it as a subprocess instead.",
            run,
            cls=self.__class__,
        )
        assert run.job_code_origin is not None
        arguments = ExecuteRunArgs(
            job_origin=run.job_code_origin, run_id=run.run_id, instance_ref=self._instance.get_ref()
        )
        *command, serialised = arguments.get_command_args()
        if command[0] == "dagster":
            # The environment's own, whether or not it is on this server's PATH.
            command[:1] = [run.job_code_origin.repository_origin.executable_path, "-m", "dagster"]
        # The instance may hold the database's password: the environment is private, a command line is not.
        environment = {**os.environ, "DAGSTER_EXECUTE_RUN_ARGS": serialised, VARIABLE: run.run_id}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # Someone has to wait for it, or it stays a zombie for as long as this server lives.
        threading.Thread(target=process.wait, name=f"wait for run {run.run_id}", daemon=True).start()
        try:
            identity = ProcessIdentity.of(process.pid)
        except ProcessLookupError:
            raise RuntimeError(f"the subprocess of run {run.run_id} ended at once: {command[0]}") from None
        self._record(run, identity, "subprocess")

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process; False for a run that is finished, or whose process is unknown.

        A run whose process is gone already is reported as canceled at once; a process that is still there
        after `kill_after_seconds` is killed with its children, by a thread of the process that called this.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        identity = self._await_identity(run_id)
        if run.status != DagsterRunStatus.CANCELING:
            self._await_start(run_id, identity)
            self._instance.report_run_canceling(run)
        if identity is None:
            self._instance.report_engine_event(
                "No process is known for this run, so none can be stopped.", run, cls=self.__class__
            )
            return False
        # Told before the process can report itself as canceled: a run that was too slow has failed.
        late = report_run_over_time(self._instance, run_id, time.time())
        if not identity.send(signal.SIGINT):
            return self._cancel(run_id, f"The run's process ({identity.pid}) was gone before it could be stopped.")
        name = f"see run {run_id} stop"
        threading.Thread(target=self._see_it_stop, args=(run_id, identity), name=name, daemon=True).start()
        return not late

    def _see_it_stop(self, run_id: str, identity: ProcessIdentity) -> None:
        deadline = time.monotonic() + self._kill_after_seconds
        again = time.monotonic() + SIGNAL_AGAIN_SECONDS
        while identity.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)
            if time.monotonic() > again and self.has_instance:
                if waits_for_retry(self._instance, run_id):
                    # Dagster sleeps through an interrupt then, for as long as the stage has said.
                    break
                # Dagster forgets an interrupt that comes at the very end of a block that takes none.
                identity.send(signal.SIGINT)
                again = time.monotonic() + SIGNAL_AGAIN_SECONDS
        if not self.has_instance:
            return
        if identity.kill_group():
            self._cancel(run_id, f"Process {identity.pid} did not stop by itself and was killed.")
        else:
            self._cancel(run_id, f"Process {identity.pid} ended without reporting a result.")

    def _cancel(self, run_id: str, message: str) -> bool:
        # Read again: the process may have reported its own end a moment ago.
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceled(run, message)
        return True

    def _await_start(self, run_id: str, identity: ProcessIdentity | None) -> None:
        """Return once the run's process has reported its start, or won't any more.

        That report would make a run that is being cancelled look like one that nobody has asked to end: its
        interruption counted as a failure, and it was retried.
        """
        deadline = time.monotonic() + START_WAIT_SECONDS
        while identity is not None and identity.is_alive() and time.monotonic() < deadline:
            run = self._instance.get_run_by_id(run_id)
            if run is None or run.status != DagsterRunStatus.STARTING:
                return
            time.sleep(0.03)

    def _await_identity(self, run_id: str) -> ProcessIdentity | None:
        """The run's process; one that is being started this moment gets a little time to be recorded."""
        deadline = time.monotonic() + IDENTITY_WAIT_SECONDS
        while True:
            run = self._instance.get_run_by_id(run_id)
            identity = process_of(run) if run is not None else None
            if identity is not None or time.monotonic() >= deadline:
                return identity
            time.sleep(0.05)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """RUNNING while the very process that was started lives and its stages keep to their time limits.

        FAILED once it is gone. A process whose stage goes on after limit and grace is killed, and its run is reported
        as failed with that reason, as a failed step: those aren't retried as a run.
        """
        identity = process_of(run)
        if identity is None:
            # A run that somebody executes in a process of their own (`dagster job execute`, a test) is not
            # ours to end.
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not started by this launcher; not checked")
        if identity.is_alive():
            late = self._watch.overdue(self._instance, run, time.time())
            if late is None:
                return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(identity))
            return self._end_overdue(run.run_id, identity, late)
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"the run's process (pid {identity.pid}) ended without reporting a result",
            transient=False,
            run_worker_id=str(identity),
        )

    def _end_overdue(self, run_id: str, identity: ProcessIdentity, late: Overdue) -> CheckRunHealthResult:
        identity.kill_group()
        deadline = time.monotonic() + KILLED_WAIT_SECONDS
        while identity.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        said = late.said(self._watch.grace_seconds)
        report_overdue(self._instance, run_id, late.step, said)
        return CheckRunHealthResult(WorkerStatus.FAILED, said, transient=False, run_worker_id=str(identity))

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """How the run's process ended, when the fork server that started it still knows."""
        try:
            code = self._client.status().ended.get(run.run_id)
        except ForkServerUnavailableError:
            return None
        if code is None:
            return None
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (also what the kernel sends when memory ends)" if name == "SIGKILL" else ""
            return f"The run's process was ended by {name}{hint}."
        return f"The run's process ended with exit code {code}."


def _optional(kind: Any, default: Any, description: str) -> Field:
    return Field(kind, is_required=False, default_value=default, description=description)


def process_of(run: DagsterRun) -> ProcessIdentity | None:
    """The process recorded for a run by this launcher, or None."""
    text = run.tags.get(PROCESS_TAG)
    if not text:
        return None
    try:
        return ProcessIdentity.parse(text)
    except ValueError:
        logging.getLogger(__name__).warning("run %s has a tag %s that is no process: %r", run.run_id, PROCESS_TAG, text)
        return None
