"""How well stages are kept apart on this machine: found out by trying, from the strongest way down.

1. Namespaces, as root: a user of its own per run, and a root of its own with nothing else of the machine in it.
2. Namespaces, as anybody, where the system lets users have their own: the same root, under the platform's user.
3. No namespaces, as root: a user of its own per run; what every user may read and write, a stage may.
4. No namespaces, as anybody: limits and a clean environment only. A stage can do what the platform's user can.

Root never runs a stage as root: where neither 1 nor 3 works, nothing runs.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mlops_assets.sandbox import call_filter


class IsolationError(RuntimeError):
    """The isolation asked for can't be had, so nothing of the stage has run."""


@dataclass(frozen=True)
class Isolation:
    """What holds between a stage and the rest.

    `unprivileged_user`: its own user, no other run's. `namespaces`: own processes, files, /tmp, IPC, and network if the
    order says so. `user_namespace`: these were had without being root. `why_not` says what stronger ways failed by.
    """

    unprivileged_user: bool
    namespaces: bool
    user_namespace: bool
    why_not: tuple[str, ...] = ()

    @property
    def calls_filtered(self) -> bool:
        """Whether dangerous calls of the kernel are refused (where the kernel has seccomp)."""
        return call_filter.program(platform.machine()) is not None

    @property
    def missing(self) -> tuple[str, ...]:
        """What a stage could do here that it couldn't under the strongest isolation, in words."""
        gaps = []
        if not self.namespaces:
            gaps += ["see other processes, and files that every user may read", "use the network always"]
            gaps += ["write to folders that every user may write to, beyond its limit of output"]
        if not self.unprivileged_user:
            gaps.append("use the network as the platform's user")
        if not self.unprivileged_user and not self.namespaces:
            gaps += ["read and change all that the platform's user can", "end the platform's processes"]
        return tuple(gaps)


def ways() -> tuple[Isolation, ...]:
    """What could be tried by this process, strongest first."""
    if os.geteuid() == 0:
        return (Isolation(True, True, False), Isolation(True, False, False))
    return (Isolation(False, True, True), Isolation(False, False, False))


@lru_cache
def isolation(python: Path = Path(sys.executable)) -> Isolation:
    """The strongest way that works here with this interpreter. Runs an empty stage; the answer is kept.

    Raises IsolationError when none does.
    """
    failures: list[str] = []
    for way in ways():
        problem = _problem(way, python)
        if problem is None:
            return Isolation(way.unprivileged_user, way.namespaces, way.user_namespace, tuple(failures))
        failures.append(problem)
    raise IsolationError(f"stages can't be isolated here: {'; '.join(failures)}")


def _problem(way: Isolation, python: Path) -> str | None:
    from mlops_assets.sandbox.order import Limits, StageOrder
    from mlops_assets.sandbox.run import run_stage

    with tempfile.TemporaryDirectory(prefix="mlops-isolation-") as folder:
        order = StageOrder(
            stage="probe", folder=Path(folder), source=_PROBE, python=python, limits=Limits(wall_seconds=30)
        )
        try:
            outcome = run_stage(order, heard=lambda _: None, cancelled=lambda: False, within=way)
        except (IsolationError, OSError) as error:
            return str(error)
    return None if outcome.error is None else f"{outcome.error.type}: {outcome.error.message}"


# Packages are looked for as a stage would; `run` may not be able to read where the interpreter is.
_PROBE = """
def run():
    import os, site, decimal
    for folder in site.getsitepackages():
        try:
            os.listdir(folder)
        except FileNotFoundError:
            continue
"""
