"""A Dask scheduler and workers as processes of their own without dashboards: on loopback, or on hosts for tests."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from tests.servers import free_port, process

_numbers = itertools.count()
LOCAL = "127.0.0.1"
# Nothing of theirs is kept, and one that lost the other takes its time to end.
KILL = signal.SIGKILL
# One thread for each worker's native code, as a nanny sets it.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextmanager
def running_scheduler(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    scheme: str = "tcp",
    host: str = LOCAL,
    inside: Sequence[str] = (),
) -> Iterator[str]:
    """Its address, as MLOPS_DASK_ADDRESS takes it. `inside` is put before its command, to start it on another host."""
    with _scheduler(folder, environment, scheme, host, inside) as (address, _):
        yield address


@contextmanager
def mortal_scheduler(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a scheduler, and its process, for a test that kills it."""
    with _scheduler(folder, None, "tcp", LOCAL, ()) as running:
        yield running


@contextmanager
def _scheduler(
    folder: Path, environment: Mapping[str, str] | None, scheme: str, host: str, inside: Sequence[str]
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()

    def answers() -> bool:
        with suppress(OSError), socket.create_connection((host, port), 1):
            return True
        return False

    command = [
        *(*inside, sys.executable, "-m", "distributed.cli.dask_scheduler"),
        *("--no-dashboard", "--no-show", "--no-jupyter", "--host", f"{scheme}://{host}:{port}"),
    ]
    with process(command, folder / f"scheduler-{port}.log", answers, environment, stop=KILL) as running:
        yield f"{scheme}://{host}:{port}", running


def running_worker(
    address: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    host: str = LOCAL,
    inside: Sequence[str] = (),
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A worker of one thread that the scheduler knows; its process, which nothing starts anew.

    `inside` is put before its command, to start it on another host.
    """
    log = folder / f"worker-{next(_numbers)}.log"
    command = [
        *(*inside, sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard", "--no-nanny"),
        *("--nthreads", "1", "--memory-limit", "0", "--host", host, "--local-directory", str(folder)),
    ]
    # Its log says so once the scheduler has answered.
    return process(
        command, log, lambda: b"Registered to" in log.read_bytes(), {**ONE_THREAD, **(environment or {})}, stop=KILL
    )
