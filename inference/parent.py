"""Ends a worker whose supervising process is gone, so that killing that one process leaves nothing behind.

BentoML's arbiter stops its workers when it is told to stop; killed outright it can't, and a worker that went
on would hold the port against the next start.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

log = logging.getLogger(__name__)


def follow_parent(every_seconds: float = 0.5) -> None:
    """Watch, in a daemon thread, that the parent stays the same; else stop gracefully, as on SIGTERM."""
    threading.Thread(target=_watch, args=(os.getppid(), every_seconds), name="parent", daemon=True).start()


def _watch(parent: int, every_seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(every_seconds)
    log.warning("the supervising process %d is gone; this worker stops", parent)
    os.kill(os.getpid(), signal.SIGTERM)
