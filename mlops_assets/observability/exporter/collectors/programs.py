"""The installation's programs: which run, since when, and what they use with all their children.

supervisord, which keeps them up, is asked over its socket. Keep out how it is told what to do (`installation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.observability.supervisor_socket import call, socket_of
from mlops_assets.settings import Settings

EVERY_SECONDS = 10.0
ANSWER_SECONDS = 3.0
CONFIGURATION = "supervisord.conf"
RUNNING = "RUNNING"


@dataclass(frozen=True)
class Process:
    """What one process uses: bytes that are its own, bytes that it shares, and seconds with its ended children."""

    pid: int
    parent: int
    own: int
    shared: int
    cpu: float


def collector(settings: Settings) -> Collector:
    """Looks every ten seconds. An installation that something else keeps up has no such programs."""

    def look(sheet: Sheet) -> None:
        if (settings.run_dir / CONFIGURATION).exists():
            put_programs(sheet, states(settings), processes())

    metrics = of_group("machine", only=("mlops_program_",))
    return Collector("programs", metrics, EVERY_SECONDS, look, rows=False)


def put_programs(sheet: Sheet, found: Iterable[Mapping[str, Any]], running: Iterable[Process]) -> None:
    """What supervisord says of each program, and what its processes use."""
    known = {process.pid: process for process in running}
    children: dict[int, list[int]] = {}
    for process in known.values():
        children.setdefault(process.parent, []).append(process.pid)
    for state in found:
        name, pid = state["name"], state["pid"]
        sheet.put("mlops_program_up", state["statename"] == RUNNING, program=name)
        if state["start"]:
            sheet.put("mlops_program_started_timestamp_seconds", state["start"], program=name)
        tree = [known[one] for one in _below(pid, children) if one in known] if pid else []
        if tree:
            # What processes of one program share, such as a server's buffers, is counted once.
            memory = sum(process.own for process in tree) + max(process.shared for process in tree)
            sheet.put("mlops_program_memory_bytes", memory, program=name)
            sheet.put("mlops_program_cpu_seconds_total", sum(process.cpu for process in tree), program=name)


def _below(pid: int, children: Mapping[int, list[int]]) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def processes() -> list[Process]:
    """Every process of this machine that we may see."""
    found = []
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                memory, times = process.memory_info(), process.cpu_times()
                shared = getattr(memory, "shared", 0)
                cpu = times.user + times.system
                cpu += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
                found.append(Process(process.pid, process.ppid(), max(0, memory.rss - shared), shared, cpu))
        except psutil.Error:
            continue
    return found


def states(settings: Settings) -> list[dict[str, Any]]:
    """supervisord's account of each program. Raises SupervisorSilentError."""
    return list(call(socket_of(settings), "getAllProcessInfo", seconds=ANSWER_SECONDS))
