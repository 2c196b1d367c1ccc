"""Runs one attempt of one stage in processes of its own and tells how it ended: `run_stage`.

This side only reads pipes, asks whether to cancel, and takes over files. Limits are kept by the watcher beside the
stage (watch.py), so a busy or dead platform doesn't loosen them. It never loads what a stage has stored.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Event
from typing import Any

from mlops_assets.sandbox import collect, told, users
from mlops_assets.sandbox.isolation import Isolation, IsolationError, isolation
from mlops_assets.sandbox.log_lines import LogLine, LogLines
from mlops_assets.sandbox.order import StageError, StageOrder, StageOutcome, Status, StoredValue, WrittenArtifact
from mlops_assets.sandbox.processes import end_all_of
from mlops_assets.sandbox.start import Cold, Running, Starter, start

ASK_EVERY_SECONDS = 0.05
# How long the watcher may take to end a stage before all of it is killed from here.
STOP_SECONDS, OVERTIME_SECONDS = 3.0, 10.0
BLOCK, EVENT_BYTES, ARTIFACTS = 1 << 18, 1 << 24, 10_000

Heard = Callable[[Sequence[LogLine]], None]
_WORDS: dict[str, tuple[Status, str, str]] = {
    "cancelled": ("cancelled", "Cancelled", "the stage was cancelled"),
    "timed_out": ("timed_out", "TimedOut", "the stage took longer than {wall_seconds:g} s"),
    "killed_memory": ("killed_memory", "MemoryLimit", "the stage used more than {memory_mb:g} MB of memory"),
    "killed_cpu": ("killed_cpu", "CpuLimit", "the stage used more than {cpu_seconds:g} s of CPU time"),
    "output_too_large": ("output_too_large", "OutputLimit", "the stage's files took more than {output_mb:g} MB"),
    "too_many_processes": ("failed", "ProcessLimit", "the stage had more than {processes} processes and threads"),
}


def run_stage(
    order: StageOrder,
    *,
    heard: Heard,
    cancelled: Event | Callable[[], bool],
    within: Isolation | None = None,
    starter: Starter | None = None,
) -> StageOutcome:
    """Run a stage to its end; returns when no process of it is left.

    `heard` gets lines of the log as they come, in this thread; if it raises, the stage is ended. `cancelled` is asked
    about twenty times a second. `within` is the isolation to use, `isolation()` of the order's interpreter by default.
    Raises IsolationError when it can't be had, ValueError for a folder that isn't private and empty, OSError.
    """
    asked = cancelled.is_set if isinstance(cancelled, Event) else cancelled
    used = within or isolation(order.python)
    with ExitStack() as stack:
        lease = stack.enter_context(users.leased()) if used.unprivileged_user else None
        user = lease.user if lease else None
        collect.prepare_folder(order.folder, user)
        stack.callback(collect.take_back, order.folder)
        running = start(order, used, user, (lease.descriptor,) if lease else (), starter or Cold())
        stack.callback(running.close)
        stack.callback(_end, running, user)
        heard_all = _Conversation(order, running, heard, asked)
        heard_all.listen()
        return _outcome(order, heard_all, os.geteuid() if user is None else user)


def _end(running: Running, user: int | None) -> None:
    """See to it that nothing runs any more, also when the watcher wasn't there to do it."""
    running.stop()
    if not running.has_ended(STOP_SECONDS):
        running.kill()
        running.has_ended(STOP_SECONDS)
    if user is not None and not running.reported:
        end_all_of(user)


class _Conversation:
    """All that comes from a stage until its pipes are closed."""

    def __init__(self, order: StageOrder, running: Running, heard: Heard, asked: Callable[[], bool]) -> None:
        self._running, self._heard, self._asked = running, heard, asked
        self._lines = LogLines(order.limits.log_mb)
        self._overtime = time.monotonic() + order.limits.wall_seconds + OVERTIME_SECONDS
        self._stopped_at: float | None = None
        self._events, self._report = bytearray(), bytearray()
        self.started = time.monotonic()

    def listen(self) -> None:
        """Read until the watcher has reported and everybody has closed their ends."""
        running = self._running
        with selectors.DefaultSelector() as selector:
            for descriptor in (running.log, running.events, running.report):
                selector.register(descriptor, selectors.EVENT_READ)
            while running.report in selector.get_map():
                self._ask()
                for key, _ in selector.select(ASK_EVERY_SECONDS):
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
            # What the stage wrote last is in the pipes still.
            for descriptor in [d for d in (running.log, running.events) if d in selector.get_map()]:
                os.set_blocking(descriptor, False)
                while self._read(descriptor):
                    pass
        running.reported = bool(self._report)
        self._tell(self._lines.finish())

    def told(self) -> list[dict[str, Any]]:
        """What the stage told of itself."""
        return told.facts(bytes(self._events))

    def report(self) -> dict[str, Any] | None:
        """What the watcher reported; None when it was killed itself."""
        lines = bytes(self._report).splitlines()
        return json.loads(lines[0]) if lines else None

    def _ask(self) -> None:
        now = time.monotonic()
        if self._stopped_at is None and self._asked():
            self._stopped_at = now
            self._running.stop()
        if now > self._overtime or (self._stopped_at is not None and now > self._stopped_at + STOP_SECONDS):
            self._running.kill()

    def _read(self, descriptor: int) -> bool:
        try:
            content = os.read(descriptor, BLOCK)
        except BlockingIOError:
            return False
        if descriptor == self._running.log:
            self._tell(self._lines.feed(content))
        else:
            kept = self._events if descriptor == self._running.events else self._report
            kept += content[: max(0, EVENT_BYTES - len(kept))]
        return bool(content)

    def _tell(self, lines: list[LogLine]) -> None:
        if lines:
            self._heard(lines)

    @property
    def was_stopped(self) -> bool:
        """Whether this side asked for the end."""
        return self._stopped_at is not None


def _outcome(order: StageOrder, heard: _Conversation, user: int) -> StageOutcome:
    report = heard.report()
    if report is None:
        report = {"reason": "cancelled" if heard.was_stopped else "watcher_lost", "exit_code": None}
    elif report["reason"] == "not_isolated":
        raise IsolationError(f"stage {order.stage}: the isolation asked for isn't allowed here: {report['message']}")
    facts = heard.told()
    artifacts, problems = _artifacts(order, facts, user)
    status, error, result = _ending(order, report, told.ending(facts), user)
    if status == "completed" and problems:
        status, error, result = "failed", StageError("ForgedError", problems[0]), None
    return StageOutcome(
        status=status,
        error=error,
        result=result,
        artifacts=artifacts,
        exit_code=report["exit_code"],
        wall_seconds=report.get("wall_seconds", time.monotonic() - heard.started),
        cpu_seconds=report.get("cpu_seconds", 0.0),
        peak_memory_bytes=report.get("peak_memory_bytes", 0),
        bytes_read=report.get("bytes_read"),
        bytes_written=report.get("bytes_written"),
    )


def _artifacts(
    order: StageOrder, facts: list[dict[str, Any]], user: int
) -> tuple[tuple[WrittenArtifact, ...], list[str]]:
    found, problems = [], []
    for fact in [fact for fact in facts if fact.get("kind") == "artifact"][:ARTIFACTS]:
        try:
            found.append(collect.written_artifact(order.folder, fact, user))
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"an artifact can't be taken over: {error}")
    return tuple(found), problems


def _ending(
    order: StageOrder, report: dict[str, Any], last: dict[str, Any] | None, user: int
) -> tuple[Status, StageError | None, StoredValue | None]:
    reason = report["reason"]
    if reason in _WORDS:
        status, name, words = _WORDS[reason]
        return status, StageError(name, words.format_map(vars(order.limits))), None
    if last is None or (last["kind"] == "completed" and report["exit_code"] != 0):
        return _ended_by_itself(order, report)
    if last["kind"] == "failed":
        status, error = told.failure(last)
        return status, error, None
    try:
        return "completed", None, collect.stored_value(order.folder, "result", last.get("value"), user)
    except (OSError, ValueError, RecursionError) as problem:
        return "failed", StageError(type(problem).__name__, f"the result can't be taken over: {problem}"), None


def _ended_by_itself(order: StageOrder, report: dict[str, Any]) -> tuple[Status, StageError, None]:
    code = report["exit_code"]
    if code is None:
        return (
            "failed",
            StageError("WatcherLost", "the process that watches the stage was killed, and the stage too"),
            None,
        )
    if code == -signal.SIGXCPU:
        status, name, words = _WORDS["killed_cpu"]
        return status, StageError(name, words.format_map(vars(order.limits))), None
    if code < 0:
        ended = f"by the signal {_signal_name(-code)}"
        if code == -signal.SIGKILL:
            ended += ", which is also what the system sends when the machine's memory runs out"
        return "failed", StageError("ProcessEnded", f"the stage's process was ended {ended}"), None
    return (
        "failed",
        StageError("ProcessEnded", f"the stage's process ended itself with code {code}, without a result"),
        None,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
