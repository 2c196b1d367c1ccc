"""Which process is it: an identity that a reused pid can't fake, and safe signals to it.

Add here what reads or signals one operating-system process of a run.
Keep out Dagster and the fork server: this file knows processes, not runs.
Linux gives exact answers (/proc, pidfd); elsewhere psutil's creation time stands in.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """A process for ever: pid, its start (clock ticks after boot on Linux) and the world the pid belongs to.

    `world` is the boot id and the pid namespace, so that neither a reboot nor another container can be
    mistaken for the machine that started the process.
    """

    pid: int
    started: str
    world: str

    def __str__(self) -> str:
        return f"{self.pid}@{self.started}@{self.world}"

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity:
        """The identity written by `str`. Raises ValueError naming the text when it is something else."""
        parts = text.split("@")
        if len(parts) != 3 or not parts[0].isdecimal() or int(parts[0]) < 1:
            raise ValueError(f"not a process identity (pid@start@world): {text!r}")
        return cls(pid=int(parts[0]), started=parts[1], world=parts[2])

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The identity of a live process. Raises ProcessLookupError when there is none, or a zombie."""
        started = _started(pid)
        if started is None:
            raise ProcessLookupError(f"no live process has pid {pid}")
        return cls(pid=pid, started=started, world=current_world())

    def is_alive(self) -> bool:
        """Whether this very process still runs; False for a zombie and for another process with its pid."""
        return self.world == current_world() and _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process, never to one that reused its pid; False when it is gone."""
        if not hasattr(os, "pidfd_open"):
            return self.is_alive() and _kill(self.pid, number)
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # The handle pins the process: if the start time matches now, the signal can't go astray.
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(handle, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)

    def kill_group(self) -> bool:
        """SIGKILL this process and its group (a run leads its own session); False when it is gone."""
        if not self.is_alive():
            return False
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return self.send(signal.SIGKILL)
        return True


def current_world() -> str:
    """The scope in which pids of this process mean something: boot id and pid namespace, else the host
    name.
    """
    if not sys.platform.startswith("linux"):
        return platform.node()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespace = os.stat("/proc/self/ns/pid").st_ino
    return f"{boot[:13]}.{namespace}"


def threads_alive() -> list[str]:
    """Names of the native threads of this process (its main thread included), also those Python can't see."""
    if not sys.platform.startswith("linux"):
        import threading

        return [thread.name for thread in threading.enumerate()]
    names = []
    for task in Path("/proc/self/task").iterdir():
        names.append((task / "comm").read_text(encoding="utf-8", errors="replace").strip())
    return names


def resident_megabytes() -> float:
    """Resident memory of this process in MB (1e6 bytes), pages shared with forked children included."""
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def _started(pid: int) -> str | None:
    if not sys.platform.startswith("linux"):
        return _started_elsewhere(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command may hold spaces and brackets, so fields count from the last bracket.
    fields = stat.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state in "ZXx" else started


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def _kill(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
