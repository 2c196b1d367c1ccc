"""Small chores of the process, done again and again in a thread of their own, so that none waits for a database.

Keep out what takes long: one slow chore delays the others.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

EVERY_SECONDS = 0.5

log = logging.getLogger(__name__)


class Ticker:
    """Calls every chore each `seconds` from `start` to `stop`; one that raises is told and called again."""

    def __init__(self, *chores: Callable[[], None], seconds: float = EVERY_SECONDS) -> None:
        self._chores = chores
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, off the event loop."""
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """End; returns when the thread ended or after `timeout` seconds."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.is_set():
            for chore in self._chores:
                try:
                    chore()
                except Exception:
                    log.exception("a chore failed")
            self._stopped.wait(self._seconds)
