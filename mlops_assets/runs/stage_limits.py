"""The time limit of a stage, from inside: its code is interrupted, and the processes that it started end.

Add here how code that takes too long is stopped by its own process. Keep out what the limit is (`stages`) and code
that doesn't let itself be stopped: that is seen from outside (`overdue`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# Free in a run: SIGINT is Dagster's, SIGALRM belongs to whoever measures time around us.
SIGNAL = signal.SIGUSR2
# A process's start is known to the second on some kernels.
CLOCK_SECONDS = 1.0


class TimeLimitError(BaseException):
    """Raised in code that is out of time. No `Exception`: code that handles any error must let it through."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the code inside after `seconds`, and kill the processes that it has started.

    Raises TimeLimitError, also when the code swallowed the interruption. Only Python code in the main thread can be
    interrupted; any other gets the error when it returns.
    """
    began, began_at = time.monotonic(), time.time()
    try:
        with _interruption(seconds):
            yield
    except TimeLimitError:
        _kill_children(began_at)
        raise
    except Exception as error:
        if time.monotonic() - began < seconds:
            raise
        _kill_children(began_at)
        raise TimeLimitError from error
    if time.monotonic() - began >= seconds:
        _kill_children(began_at)
        raise TimeLimitError


@contextmanager
def _interruption(seconds: float) -> Iterator[None]:
    main = threading.main_thread()
    if threading.current_thread() is not main or main.ident is None:
        yield
        return
    ident, armed, door = main.ident, True, threading.Lock()

    def fire() -> None:
        # Under the lock, or the signal could arrive when its handler is gone, and end the process.
        with door:
            if armed:
                signal.pthread_kill(ident, SIGNAL)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if armed:
            raise TimeLimitError

    before = signal.signal(SIGNAL, interrupt)
    timer = threading.Timer(seconds, fire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        try:
            with door:
                armed = False
        finally:
            timer.cancel()
            signal.signal(SIGNAL, signal.SIG_DFL if before is None else before)


def _kill_children(began_at: float) -> None:
    """End every process below this one that is younger than `began_at` (seconds since the epoch)."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if child.create_time() >= began_at - CLOCK_SECONDS:
                child.kill()
