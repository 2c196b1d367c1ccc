"""Watches a stage from beside it: starts its process, holds it to its limits, ends all of it, and reports.

The watcher is process 1 of the stage's namespace, or else the parent that adopts whatever the stage leaves behind. It
isn't the platform: if the platform goes away, so does the stage. Standard library only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mlops_assets.sandbox.folder_use import folder_bytes
from mlops_assets.sandbox.processes import Tree, reap, transferred

LOOK_EVERY_SECONDS = 0.05
# Looking at a folder of many files takes long; it may take this share of the time at most.
FOLDER_EVERY_SECONDS, FOLDER_SHARE = 0.2, 0.1


@dataclass
class Report:
    """How a stage's processes ended. `reason` is why the watcher ended them; None: the stage ended by itself."""

    reason: str | None = None
    exit_code: int | None = None
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    bytes_read: int | None = None
    bytes_written: int | None = None

    def as_json(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


class Watch:
    """One stage, from its start to the end of its last process."""

    def __init__(self, folder: str, limits: dict[str, float], tree: Tree, *, control: int, alone: bool) -> None:
        self._folder, self._limits, self._tree, self._control = folder, limits, tree, control
        self._shared_memory = "/dev/shm" if alone else None  # noqa: S108 the stage's own, only asked for its size
        self._device = os.stat(folder).st_dev
        self._next_folder_look = 0.0
        self.report = Report()

    def run(self, stage: Callable[[], Any]) -> Report:
        """Run the stage in a child; returns when nothing of it is left."""
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                stage()
            except BaseException:  # noqa: BLE001 goes to the stage's log
                traceback.print_exc()
            finally:
                os._exit(70)
        self.report.reason = self._wait(pid, started + self._limits["wall_seconds"])
        self._finish(pid)
        self.report.wall_seconds = time.monotonic() - started
        return self.report

    def _wait(self, pid: int, deadline: float) -> str | None:
        ended = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            ready = {handle for handle, _ in poll.poll(max(0.0, min(LOOK_EVERY_SECONDS, left)) * 1000)}
            if ended in ready:
                os.close(ended)
                return None
            if self._control in ready:
                return "cancelled"
            if left <= 0:
                return "timed_out"
            reap(but=pid)
            reason = self._exceeded()
            if reason is not None:
                return reason

    def _exceeded(self) -> str | None:
        use = self._tree.use()
        # What lies in shared memory without being mapped belongs to no process.
        shared = self._shared_memory_bytes()
        memory = use.memory + shared
        limit = self._limits["memory_mb"] * 1_000_000
        if memory > limit:
            memory = self._tree.proportional_memory() + shared
        self.report.peak_memory_bytes = max(self.report.peak_memory_bytes, memory)
        if memory > limit:
            return "killed_memory"
        if use.cpu_seconds > self._limits["cpu_seconds"]:
            return "killed_cpu"
        if use.tasks > self._limits["processes"]:
            return "too_many_processes"
        return self._output_too_large()

    def _output_too_large(self) -> str | None:
        now = time.monotonic()
        if now < self._next_folder_look:
            return None
        used = folder_bytes(self._folder)
        if used is not None:
            used += self._tree.deleted_bytes(self._device)
        took = time.monotonic() - now
        self._next_folder_look = now + max(FOLDER_EVERY_SECONDS, took / FOLDER_SHARE)
        return "output_too_large" if used is None or used > self._limits["output_mb"] * 1_000_000 else None

    def _finish(self, pid: int) -> None:
        # Not collected yet, a process that ended by itself still tells what it read and wrote.
        self.report.bytes_read, self.report.bytes_written = transferred(pid)
        if self.report.reason is not None:
            os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
        self.report.exit_code = os.waitstatus_to_exitcode(status)
        self.report.peak_memory_bytes = max(self.report.peak_memory_bytes, used.ru_maxrss * 1024)
        self._tree.end()
        self.report.cpu_seconds = self._tree.use().cpu_seconds
        if self.report.reason is None:
            self._next_folder_look = 0.0
            self.report.reason = self._output_too_large()

    def _shared_memory_bytes(self) -> int:
        if self._shared_memory is None:
            return 0
        facts = os.statvfs(self._shared_memory)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize
