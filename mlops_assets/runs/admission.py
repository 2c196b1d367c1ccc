"""One at a time through the door: a lock that all processes of one Dagster instance share.

Add here how admission is serialised. Keep out who is admitted: the coordinator decides.
With PostgreSQL it is an advisory lock in the instance's own database, so it holds across machines and can't
be left behind by a killed process; any other storage is on one machine, where a file lock does the same.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

# Any number that nothing else in this database uses for an advisory lock.
LOCK_NUMBER = 0x6D6C6F70
# The lock is held for milliseconds; whoever can't have it in this time queues, and the daemon starts the run.
TIMEOUT_SECONDS = 3.0

# Threads of one process queue here, so that each process holds at most one database connection for the lock.
_in_process = threading.Lock()


class AdmissionTimeoutError(Exception):
    """The lock was not free in time."""


@contextmanager
def admission(instance: DagsterInstance, *, timeout_seconds: float | None = None) -> Iterator[None]:
    """Hold the instance's admission lock. Raises AdmissionTimeoutError when it can't be had in time."""
    if timeout_seconds is None:
        timeout_seconds = TIMEOUT_SECONDS
    if not _in_process.acquire(timeout=timeout_seconds):
        raise AdmissionTimeoutError(f"another thread held the admission lock for {timeout_seconds:g} s")
    try:
        url = getattr(instance.run_storage, "postgres_url", None) or _wrapped_url(instance)
        lock = _postgres_lock(url, timeout_seconds) if url else _file_lock(instance.root_directory, timeout_seconds)
        with lock:
            yield
    finally:
        _in_process.release()


def _wrapped_url(instance: DagsterInstance) -> str | None:
    """The database of a `storage:` block, whose run storage Dagster wraps."""
    storage = getattr(instance.run_storage, "_storage", None)
    return getattr(storage, "postgres_url", None)


@contextmanager
def _postgres_lock(url: str, timeout_seconds: float) -> Iterator[None]:
    import sqlalchemy
    from sqlalchemy.pool import NullPool

    engine = sqlalchemy.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"SET lock_timeout = {int(timeout_seconds * 1000)}"))
        try:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:n)"), {"n": LOCK_NUMBER})
        except sqlalchemy.exc.OperationalError as error:
            raise AdmissionTimeoutError(f"another process held the admission lock for {timeout_seconds:g} s") from error
        # Closing the connection frees the lock, whatever happens in between.
        yield


@contextmanager
def _file_lock(folder: str, timeout_seconds: float) -> Iterator[None]:
    handle = os.open(Path(folder, "admission.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise AdmissionTimeoutError(f"another process held {folder}/admission.lock") from None
            time.sleep(0.005)
        yield
    finally:
        os.close(handle)
