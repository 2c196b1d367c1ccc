"""Starts a stage's process tree: what it needs is handed over as descriptors and one order. Keep out what it answers.

`Cold` starts a new interpreter each time; warm.py has another way with the same results.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlops_assets.sandbox.entry import LENGTH_BYTES
from mlops_assets.sandbox.isolation import Isolation
from mlops_assets.sandbox.order import StageOrder

PROGRAM = Path(__file__).with_name("entry.py")


@dataclass
class Running:
    """The platform's ends of the pipes to a stage, and a handle to the process that all of it hangs on.

    `reported` becomes true when the watcher has told that nothing of the stage is left.
    """

    control: socket.socket
    log: int
    events: int
    report: int
    process: int
    child: subprocess.Popen[bytes] | None = None
    reported: bool = False

    def stop(self) -> None:
        """Ask the watcher to end the stage; it reports when it has."""
        try:
            self.control.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has gone already

    def has_ended(self, seconds: float) -> bool:
        """Whether all of it has ended, waiting so long for it."""
        poll = select.poll()
        poll.register(self.process, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def kill(self) -> None:
        """End the watcher at once, and with it the stage."""
        try:
            signal.pidfd_send_signal(self.process, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Give back every descriptor; the processes must have been ended."""
        self.control.close()
        for descriptor in (self.log, self.events, self.report, self.process):
            os.close(descriptor)
        if self.child is not None:
            self.child.wait()


@dataclass(frozen=True)
class Descriptors:
    """The stage's ends, by what they are for. `held` are only kept open by the stage's watcher."""

    control: int
    log: int
    events: int
    report: int
    inputs: Mapping[str, int] = field(default_factory=dict)
    held: tuple[int, ...] = ()

    @property
    def all(self) -> tuple[int, ...]:
        """Every number, control first."""
        return (self.control, self.log, self.events, self.report, *self.inputs.values(), *self.held)

    def as_arguments(self) -> dict[str, Any]:
        """What `entry.serve` takes."""
        return {"log": self.log, "events": self.events, "report": self.report, "inputs": dict(self.inputs)}


class Starter(Protocol):
    """A way to get a process that serves one order."""

    def start(self, descriptors: Descriptors, order: StageOrder) -> tuple[int, subprocess.Popen[bytes] | None]:
        """Start it with these ends: a pidfd, and the child to collect if it is one of this process. Raises OSError."""


class Cold:
    """A new interpreter for each stage, without any of the platform's environment."""

    def start(self, descriptors: Descriptors, order: StageOrder) -> tuple[int, subprocess.Popen[bytes] | None]:
        """Start it."""
        arguments = json.dumps(descriptors.as_arguments())
        child = subprocess.Popen(
            [str(order.python), "-I", "-S", "-X", "utf8", str(PROGRAM), arguments],
            stdin=descriptors.control,
            stdout=subprocess.DEVNULL,
            stderr=descriptors.log,
            pass_fds=descriptors.all[1:],
            env={},
            cwd="/",
            start_new_session=True,
        )
        return os.pidfd_open(child.pid), child


def start(order: StageOrder, isolation: Isolation, user: int | None, held: tuple[int, ...], by: Starter) -> Running:
    """Start a stage and hand it its order. Raises OSError when an argument's file or the interpreter is missing."""
    ours, theirs = socket.socketpair()
    opened = [theirs.detach()]
    readers = []
    try:
        for _ in ("log", "events", "report"):
            reading, writing = os.pipe()
            readers.append(reading)
            opened.append(writing)
        inputs = {}
        for name, value in order.arguments.items():
            if value.path is not None:
                inputs[name] = os.open(value.path, os.O_RDONLY)
                opened.append(inputs[name])
        process, child = by.start(_named(opened, inputs, held), order)
        running = Running(ours, readers[0], readers[1], readers[2], process, child)
    except BaseException:
        ours.close()
        for descriptor in readers:
            os.close(descriptor)
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)
    content = json.dumps(_as_json(order, isolation, user)).encode()
    with contextlib.suppress(OSError):  # it has ended already; that there is no report says so
        ours.sendall(len(content).to_bytes(LENGTH_BYTES, "big") + content)
    return running


def _named(opened: list[int], inputs: Mapping[str, int], held: tuple[int, ...]) -> Descriptors:
    control, log, events, report = opened[:4]
    return Descriptors(control, log, events, report, inputs=inputs, held=held)


def _as_json(order: StageOrder, isolation: Isolation, user: int | None) -> dict[str, Any]:
    readable = [*order.readable, *([order.code_folder] if order.code_folder else [])]
    return {
        "stage": order.stage,
        "folder": str(order.folder),
        "source": order.source,
        "function": order.function,
        "code_folder": str(order.code_folder) if order.code_folder else None,
        "arguments": {name: value.format for name, value in order.arguments.items()},
        "parameters": dict(order.parameters),
        "config": dict(order.config),
        "facts": dict(order.facts),
        "environment": dict(order.environment),
        "limits": asdict(order.limits),
        "network": order.network,
        "readable": [str(path) for path in readable],
        "isolation": {"namespaces": isolation.namespaces, "user_namespace": isolation.user_namespace},
        "user": user,
    }
