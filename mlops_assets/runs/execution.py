"""What a forked child does: become a process of its own, wait for `go`, execute one Dagster run, end.

Add here what isolates a run from the server and from its siblings. Keep out the server's own loop.
Nothing here may raise into the server's code: the child always ends in `os._exit`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import random
import resource
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.runs.current import set_current_run
from mlops_assets.runs.kept_logs import keep_at_end
from mlops_assets.runs.process import ProcessIdentity
from mlops_assets.runs.protocol import GO, Launch, Started, encode
from mlops_assets.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterInstance
    from dagster._core.instance.ref import InstanceRef

log = logging.getLogger(__name__)

GO_TIMEOUT_SECONDS = 60.0
# The kernel prefers a run over the servers when memory ends; 0 is neutral, 1000 is first.
OOM_SCORE = 500
STATEMENT_TIMEOUT_MS = 60_000


def run_child(request: Launch, connection: socket.socket, output: Path) -> int:
    """Execute the run of a launch request in this, freshly forked, process. The process's exit code.

    0 the run was executed (its own outcome is in Dagster), 1 the run failed, 2 the client gave no `go`.
    """
    isolate(request.run_id, output)
    connection.settimeout(GO_TIMEOUT_SECONDS)
    try:
        connection.sendall(encode(Started(process=str(ProcessIdentity.of(os.getpid())))))
        go = connection.recv(1)
    except OSError as error:
        log.warning("run %s: the launcher went away before the run began: %s", request.run_id, error)
        return 2
    finally:
        connection.close()
    if go != GO:
        return 2
    code = execute(request.run_id, request.instance_ref)
    # The run has ended for everybody; its process stays a moment.
    keep_at_end(request.run_id, load())
    return code


def isolate(run_id: str, output: Path) -> None:
    """Own session, signals, output, random state, limits: nothing is shared with the server or other runs."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # The server's own output may be a pipe to its supervisor, which breaks when the server dies; a file
    # does not.
    handle = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for descriptor in (1, 2):
        os.dup2(handle, descriptor, inheritable=True)
    os.close(handle)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform.startswith("linux"):
        _raise_oom_score()
        Path("/proc/self/comm").write_text(f"run {run_id}"[:15], encoding="utf-8")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    random.seed()
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed()
    # Exit handlers of the server are the server's.
    atexit._clear()
    gc.enable()


def execute(run_id: str, instance_ref: str) -> int:
    """Execute a run that Dagster has created; 0 when it was carried out, 1 when it ended in failure.

    Whatever happens, the run is in a final state in Dagster afterwards, or the error is in the output file.
    """
    from dagster._core.instance.ref import InstanceRef
    from dagster._serdes import deserialize_value
    from dagster._utils.interrupts import capture_interrupts

    with capture_interrupts(), _instance(deserialize_value(instance_ref, InstanceRef)) as instance:
        set_current_run(run_id, instance)
        code = _execute(run_id, instance)
        _settle(run_id, instance)
    return code


def leave(code: int) -> None:
    """End this process as the interpreter would, but without tearing down the modules it shares by copy."""
    with contextlib.suppress(OSError):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    logging.shutdown()
    os._exit(code)


def _execute(run_id: str, instance: DagsterInstance) -> int:
    # The body of `dagster api execute_run`: what it does (metrics threads, events) is the same for both ways.
    from dagster._cli.api import _execute_run_command_body

    return _execute_run_command_body(
        run_id, instance, write_stream_fn=lambda event: None, set_exit_code_on_failure=True
    )


def _settle(run_id: str, instance: DagsterInstance) -> None:
    """A run that was told to stop before it could begin is reported as canceled by nobody else."""
    from dagster import DagsterRunStatus

    run = instance.get_run_by_id(run_id)
    if run is not None and run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, "The run was canceled before its execution began.")


@contextlib.contextmanager
def _instance(ref: InstanceRef) -> Iterator[DagsterInstance]:
    from dagster import DagsterInstance

    with DagsterInstance.from_ref(_tables_exist(ref)) as instance:
        # Dagster's storages connect anew for every statement; this keeps one connection for each of them.
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, pool_recycle=3600, max_overflow=20)
        yield instance


def _tables_exist(ref: InstanceRef) -> InstanceRef:
    """The same instance without the look whether its tables exist: the run is stored in them already."""
    import yaml

    data = ref.storage_data
    if data is None or data.module_name not in ("dagster_postgres", "dagster_postgres.storage"):
        return ref
    config = {**(yaml.safe_load(data.config_yaml) or {}), "should_autocreate_tables": False}
    return ref._replace(storage_data=data._replace(config_yaml=yaml.safe_dump(config)))


def _raise_oom_score() -> None:
    try:
        current = int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii"))
        if current < OOM_SCORE:
            Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    except OSError as error:
        log.warning("can't raise the out-of-memory score of this run: %s", error)
