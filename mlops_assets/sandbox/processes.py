"""The processes of one stage, seen through /proc: who they are, what they use, and how all of them end.

Linux only, standard library only. Keep out limits and reasons (watch.py).
"""

from __future__ import annotations

import os
import resource
import signal
import stat
import time
from collections import defaultdict
from dataclasses import dataclass

PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Use:
    """What the living processes use: bytes resident (shared pages count for each), CPU seconds, processes, threads."""

    memory: int
    cpu_seconds: float
    tasks: int


class Tree:
    """All descendants of this process. `alone`: it is process 1 of a namespace, so all others are its descendants.

    Without a namespace it must have adopted orphans from the start, so that no descendant can leave the tree.
    """

    def __init__(self, *, alone: bool, user: int | None) -> None:
        self._alone = alone
        self._user = user

    def pids(self) -> list[int]:
        """Every living descendant, in no order."""
        everyone = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
        if self._alone:
            return [pid for pid in everyone if pid != 1]
        children: dict[int, list[int]] = defaultdict(list)
        for pid in everyone:
            fields = _fields(pid)
            if fields is not None:
                children[int(fields[1])].append(pid)
        found, left = [], [os.getpid()]
        while left:
            below = children.get(left.pop(), [])
            found += below
            left += below
        return found

    def use(self) -> Use:
        """What all of them use now, CPU time of those that ended included."""
        memory, tasks = 0, 0
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = ended.ru_utime + ended.ru_stime
        for pid in self.pids():
            fields = _fields(pid)
            if fields is None:
                continue
            seconds += sum(int(field) for field in fields[11:15]) / TICKS
            tasks += int(fields[17])
            memory += int(fields[21]) * PAGE
        return Use(memory, seconds, tasks)

    def proportional_memory(self) -> int:
        """Bytes of memory with each shared page counted once; dearer to ask than `use`."""
        return sum(_proportional(pid) for pid in self.pids())

    def deleted_bytes(self, device: int) -> int:
        """Disk space of files of that device that are deleted and still open."""
        found: dict[int, int] = {}
        for pid in self.pids():
            try:
                handles = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue
            for handle in handles:
                try:
                    facts = os.stat(f"/proc/{pid}/fd/{handle}")
                except OSError:
                    continue
                if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 0 and facts.st_dev == device:
                    found[facts.st_ino] = facts.st_blocks * 512
        return sum(found.values())

    def end(self) -> None:
        """Kill every descendant and collect them all; returns when none is left."""
        while True:
            if self._alone:
                _kill(-1)
            elif self._user is not None:
                end_all_of(self._user)
            else:
                # Stopped first, so that none forks between being seen and being killed.
                for number in (signal.SIGSTOP, signal.SIGKILL):
                    for pid in self.pids():
                        _kill(pid, number)
            if reap() == 0:
                return
            time.sleep(0.005)


def reap(but: int | None = None) -> int:
    """Collect whatever has ended, except the process `but`; how many children are left, at least (0: none)."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return 0
        if ended is None or ended.si_pid == but:
            return 1
        os.waitpid(ended.si_pid, 0)


def end_all_of(user: int) -> None:
    """Kill every process of a user, as root; by killing all at once, which can't be outrun by forking."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setresgid(user, user, user)
            # If this fails, nothing is killed: as root, "all" would be the whole machine.
            os.setresuid(user, user, user)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def transferred(pid: int) -> tuple[int | None, int | None]:
    """Bytes that a process, and the children it collected, read and wrote; None where the kernel doesn't tell."""
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as file:
            facts = dict(line.split(": ") for line in file.read().splitlines())
        return int(facts["rchar"]), int(facts["wchar"])
    except (OSError, ValueError, KeyError):
        return None, None


def _kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _fields(pid: int) -> list[str] | None:
    """/proc/<pid>/stat after the command's name: state, parent, … None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
