"""Processes of this installation that nobody manages any more, and how they are ended.

Every program carries its installation's home and its own name in its environment, which a process can't lose.
After `kill -9` of the process manager or of a program's parent, that mark is how the rest is found.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

HOME_VARIABLE = "MLOPS_HOME"
PROGRAM_VARIABLE = "MLOPS_PROGRAM"
TERM_SECONDS = 8.0
# SIGTERM makes PostgreSQL wait for its clients to leave by themselves; SIGINT disconnects them.
FAST_STOP = {"postgres": signal.SIGINT}


def marked(home: Path, program: str | None = None) -> list[psutil.Process]:
    """Living processes of the installation at `home`, of one program or of all; never the caller's own."""
    own = {os.getpid(), os.getppid()}
    found = []
    for process in psutil.process_iter():
        if process.pid in own:
            continue
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        name = environment.get(PROGRAM_VARIABLE)
        if environment.get(HOME_VARIABLE) == str(home) and name is not None and program in (None, name):
            found.append(process)
    return found


def in_group(processes: Iterable[psutil.Process], group: int) -> list[psutil.Process]:
    """Those of `processes` in the process group `group`: a program with its helpers, not what it set free."""
    members = []
    for process in processes:
        try:
            if os.getpgid(process.pid) == group:
                members.append(process)
        except ProcessLookupError:
            continue
    return members


def end(processes: list[psutil.Process], patience: float = TERM_SECONDS) -> int:
    """Ask `processes` to end, then kill what is left. Returns how many there were."""
    for process in processes:
        _send(process, FAST_STOP.get(_program(process), signal.SIGTERM))
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=patience)
    return len(processes)


def _program(process: psutil.Process) -> str:
    try:
        return process.environ().get(PROGRAM_VARIABLE, "")
    except (psutil.Error, OSError):
        return ""


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
