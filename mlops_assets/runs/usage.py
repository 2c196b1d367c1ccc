"""Measures what a stage uses in this process and the processes below it: wall and CPU time, peak memory, bytes.

Add here another figure that the kernel tells of a process. Keep out which stage it is (`measured_steps`) and where it
is kept (`usage_rows`). Standard library only; figures that the system doesn't tell are None.

What isn't seen: processes that were given away (their parent died before them, or a service of the system started
them), files that are mapped instead of read, what sockets carry, and a child that used memory for less than `LOOK`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# How often it is looked whether there are children, and how much memory they have.
LOOK_SECONDS = 0.2
# A child's own share of memory is dear to ask: only when the cheap upper bound has grown by so much.
GROWN = 1.05
# In bytes, or in KiB as Linux counts it.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Used:
    """Seconds and bytes; None: not measured. The peak is the largest sum over all processes at one time."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    read_bytes: int | None
    written_bytes: int | None

    def as_metadata(self) -> dict[str, float]:
        """The entries of a materialization, in units that people read; Dagster draws each over time."""
        entries = {
            "seconds": round(self.wall_seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "peak_memory_mb": round(self.peak_memory_bytes / 1e6, 1),
        }
        if self.read_bytes is not None:
            entries["read_mb"] = round(self.read_bytes / 1e6, 3)
        if self.written_bytes is not None:
            entries["written_mb"] = round(self.written_bytes / 1e6, 3)
        return entries


class Meter:
    """What is used from its making to `stop`. One at a time: the kernel keeps one peak for each process."""

    def __init__(self) -> None:
        self._peak = _PeakWatch()
        self._began, self._before = time.monotonic(), _spent(descendants())
        self._elsewhere: list[Used] = []

    def so_far(self) -> Used:
        """What was used until now."""
        children = descendants()
        now, wall = _spent(children), time.monotonic() - self._began
        others = self._elsewhere
        return Used(
            wall_seconds=wall,
            cpu_seconds=max(0.0, now.cpu_seconds - self._before.cpu_seconds) + sum(u.cpu_seconds for u in others),
            peak_memory_bytes=max((u.peak_memory_bytes for u in others), default=0) or self._peak.so_far(children),
            read_bytes=_sum(_less(now.read, self._before.read), [u.read_bytes for u in others]),
            written_bytes=_sum(_less(now.written, self._before.written), [u.written_bytes for u in others]),
        )

    def add(self, used: Used) -> None:
        """Add what a process that isn't below this one used for the stage. Its peak is the stage's."""
        self._elsewhere.append(used)

    def stop(self) -> Used:
        """The figures; nothing is watched any more. Safe to call twice."""
        used = self.so_far()
        self._peak.stop()
        return used


_open: Meter | None = None


def begin() -> Meter:
    """A meter that whatever the stage calls can add to with `add_elsewhere`; ends an earlier one."""
    global _open
    end()
    _open = Meter()
    return _open


def end() -> Used | None:
    """Stop the open meter: its figures, None if there is none."""
    global _open
    meter, _open = _open, None
    return meter.stop() if meter is not None else None


@contextlib.contextmanager
def metered() -> Iterator[Meter]:
    """The open meter, or one of its own for whoever runs a stage outside a run's process."""
    if _open is not None:
        yield _open
        return
    meter = begin()
    try:
        yield meter
    finally:
        if _open is meter:
            end()


def add_elsewhere(used: Used) -> None:
    """Tell the open meter, if there is one, what was used in processes that aren't below this one."""
    if _open is not None:
        _open.add(used)


@dataclass(frozen=True)
class _Spent:
    cpu_seconds: float
    read: int | None
    written: int | None


def _spent(children: Sequence[str]) -> _Spent:
    """Since the beginning of this process: its own, that of children it collected and of the ones that live."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    read, written = _transferred("self")
    for pid in children:
        seconds += _cpu_of(pid)
        theirs = _transferred(pid)
        read, written = _sum(read, theirs[:1]), _sum(written, theirs[1:])
    return _Spent(seconds, read, written)


def descendants() -> list[str]:
    """Ids of the processes below this one that live, in no order; none where the kernel doesn't list them."""
    found: list[str] = []
    left = ["self"]
    while left:
        below = _children(left.pop())
        found += below
        left += below
    return found


def _children(pid: str) -> list[str]:
    # Listed by the thread that started them.
    found: list[str] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += _read(f"/proc/{pid}/task/{thread}/children").split()
    return found


def _cpu_of(pid: str) -> float:
    """Seconds of a process and the children that it has collected; 0 when it is gone: then we or they have it."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / TICKS
    return 0.0


def _transferred(pid: str) -> tuple[int | None, int | None]:
    with contextlib.suppress(OSError, ValueError, KeyError):
        facts = dict(line.split(": ") for line in _read(f"/proc/{pid}/io").splitlines())
        return int(facts["rchar"]), int(facts["wchar"])
    return None, None


class _PeakWatch:
    """The most memory at one time: this process's own from the kernel, with children from looks at them."""

    def __init__(self) -> None:
        self._exact = _reset_peak()
        self._collected = _largest_child()
        # Where the kernel's own peak can't be begun anew, what was resident at the looks is the best there is.
        self._seen = 0 if self._exact else _resident("self")
        self._upper = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak memory", daemon=True)
        self._thread.start()

    def so_far(self, children: Sequence[str]) -> int:
        """Bytes; `children` are the ids of the processes below this one."""
        self._look(children)
        own = _own_peak() if self._exact else _resident("self")
        largest = _largest_child()
        # The kernel keeps only the largest of all children: it tells something when there is a new largest one.
        return max(self._seen, own, largest if largest > self._collected else 0)

    def stop(self) -> None:
        """End the watching."""
        self._over.set()
        self._thread.join(5)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._look(descendants())

    def _look(self, children: Sequence[str]) -> None:
        own = _resident("self") if children or not self._exact else 0
        if not children:
            self._seen = max(self._seen, own)
            return
        upper = own + sum(_resident(pid) for pid in children)
        if upper > self._upper * GROWN:
            self._upper = upper
            self._seen = max(self._seen, own + sum(_proportional(pid) for pid in children))


def _reset_peak() -> bool:
    """Let the kernel's record of this process's peak begin anew; whether it does."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return False
    return True


def _own_peak() -> int:
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):
        lines = _read("/proc/self/status").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def _largest_child() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * RSS_UNIT


def _resident(pid: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(_read(f"/proc/{pid}/statm").split()[1]) * PAGE
    return 0


def _proportional(pid: str) -> int:
    """Resident bytes with each shared page divided among those who share it."""
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):
        lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return _resident(pid)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _less(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else max(0, now - before)


def _sum(first: int | None, others: list[int | None] | tuple[int | None, ...]) -> int | None:
    """Of what is known; None if nothing is."""
    known = [value for value in (first, *others) if value is not None]
    return sum(known) if known else None
