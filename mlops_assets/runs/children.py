"""The fork server's children: which runs they execute, how they ended, how they are stopped.

Add here what the server knows about the processes that it forked. Keep out what they do (execution.py).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping

from mlops_assets.runs.process import ProcessIdentity

log = logging.getLogger(__name__)

ENDED_KEPT = 256


class Children:
    """Runs in progress by pid, and the exit codes of the latest that ended (negative: the signal)."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[str, ProcessIdentity]] = {}
        self.ended: dict[str, int] = {}

    @property
    def running(self) -> dict[str, str]:
        """Process identities, as text, by run id."""
        return {run_id: str(identity) for run_id, identity in self._running.values()}

    def restore(self, running: Mapping[str, str], ended: Mapping[str, int]) -> None:
        """Go on with the children that this process had before it re-executed itself."""
        for run_id, text in running.items():
            identity = ProcessIdentity.parse(text)
            self._running[identity.pid] = (run_id, identity)
        self.ended = dict(ended)

    def add(self, run_id: str, pid: int) -> None:
        """A child was forked for a run."""
        try:
            self._running[pid] = (run_id, ProcessIdentity.of(pid))
        except ProcessLookupError:
            log.warning("run %s: process %d ended at once", run_id, pid)
            return
        log.info("run %s: process %d", run_id, pid)

    def reap(self) -> None:
        """Collect every child that has ended, so that none stays a zombie. Does not wait."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, os.waitstatus_to_exitcode(status))

    def stop(self, grace_seconds: float) -> None:
        """Interrupt every run, so that Dagster records its end; kill what is left after the grace time."""
        log.info("stopping: %d runs are interrupted", len(self._running))
        for _, identity in self._running.values():
            identity.send(signal.SIGINT)
        self._wait(grace_seconds)
        for run_id, identity in self._running.values():
            log.warning("run %s: process %d outlived %g s, killed", run_id, identity.pid, grace_seconds)
            identity.kill_group()
        # A killed process is gone at once, unless the kernel holds it in a call to a hanging device.
        self._wait(grace_seconds)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self.reap()
        while self._running and time.monotonic() < deadline:
            time.sleep(0.02)
            self.reap()

    def _ended(self, pid: int, code: int) -> None:
        run_id, _ = self._running.pop(pid, ("", None))
        log.info("run %s: process %d ended with %d", run_id or "?", pid, code)
        if run_id:
            self.ended[run_id] = code
            for old in list(self.ended)[:-ENDED_KEPT]:
                del self.ended[old]
