"""GET /api/v1/runs/{id}/events: a run as it goes, as server-sent events.

Add a kind of event here when a page should hear of it. Keep out what a run's state is (`run_state`) and which lines of
its logs come next (`log_tail`). Records and logs are read in a few threads of the streams' own, so that a database
that hangs takes no thread from other routes; streams of one run share what is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mlops_assets.api.pipelines.log_tail import LogTail, Position
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.pipelines.router import new_router
from mlops_assets.api.pipelines.run_schemas import RunStatus
from mlops_assets.api.pipelines.run_state import RunReader, RunState
from mlops_assets.api.pipelines.runs import RunId, read_state
from mlops_assets.api.problems import answers, problem

MOST_STREAMS = 100
THREADS = 8
LOOK_SECONDS = 0.3
FRESH_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0
# A stream ends then without an `end`, and its reader proves again who it is.
LONGEST_SECONDS = 900.0
RETRY_MS = 1000
FULL_RETRY_SECONDS = 5
LONGEST_ID = 8192

EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "run, stage, log and end events", "content": {"text/event-stream": {}}}
}
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="Logs go on after this event")]
WithLogs = Annotated[bool, Query(description="Whether lines of logs are sent too")]


log = logging.getLogger(__name__)


class End(BaseModel):
    """How the run ended."""

    status: RunStatus


def event_routes(parts: Parts) -> APIRouter:
    """The one route of live events."""
    router = new_router("runs", asks_dagster=parts)
    streams = Streams()

    @router.get("/runs/{id}/events", response_class=Response, responses=EVENTS | answers(404, 422))
    def follow_run(id: RunId, request: Request, last_event_id: LastEventId = None, logs: WithLogs = True) -> Response:
        """The run and its stages as they are, then whatever changes, and each line that a stage logs.

        After `end` nothing comes any more; a stream that ends without it is to be asked for again.
        """
        reader, _ = read_state(parts, id)
        tail = LogTail(parts.logs, id, Position.read((last_event_id or "")[:LONGEST_ID])) if logs else None
        return EventStream(streams, RunEvents(streams, id, reader, tail, request))

    return router


class Streams:
    """The streams at work: how many there are, and one reader for each run that is followed."""

    def __init__(self) -> None:
        self.open = 0
        self.limiter = anyio.CapacityLimiter(THREADS)
        self._lock = threading.Lock()
        self._shared: dict[str, SharedReader] = {}

    def enter(self) -> bool:
        """Take a place, if there is one. On the event loop only, as `leave`."""
        if self.open >= MOST_STREAMS:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        """Give the place back."""
        self.open -= 1

    @contextmanager
    def following(self, run_id: str, reader: RunReader) -> Iterator[SharedReader]:
        """The run's shared reader: `reader`, unless another stream has brought one."""
        with self._lock:
            shared = self._shared.setdefault(run_id, SharedReader(reader))
            shared.users += 1
        try:
            yield shared
        finally:
            with self._lock:
                shared.users -= 1
                if not shared.users:
                    self._shared.pop(run_id, None)


class SharedReader:
    """Reads a run for several streams, at most every `FRESH_SECONDS`."""

    def __init__(self, reader: RunReader) -> None:
        self.users = 0
        self._reader = reader
        self._lock = threading.Lock()
        self._state: RunState | None = None
        self._read_at = float("-inf")

    def read(self) -> RunState | None:
        """The run as it is now, or was a moment ago; None if it is gone."""
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                self._state = self._reader.read()
                self._read_at = time.monotonic()
            return self._state


class RunEvents:
    """What one stream says."""

    def __init__(
        self, streams: Streams, run_id: str, reader: RunReader, tail: LogTail | None, request: Request
    ) -> None:
        self._streams, self._run_id, self._reader = streams, run_id, reader
        self._tail, self._request = tail, request
        self._told: RunState | None = None

    async def text(self) -> AsyncIterator[str]:
        """The stream, piece by piece."""
        began = heard = time.monotonic()
        yield f"retry: {RETRY_MS}\n\n"
        with self._streams.following(self._run_id, self._reader) as shared:
            while not self._over(began):
                piece, more, over = await run_sync(self._next, shared, limiter=self._streams.limiter)
                if piece:
                    yield piece
                    heard = time.monotonic()
                if over:
                    return
                if time.monotonic() - heard > HEARTBEAT_SECONDS:
                    yield ": still here\n\n"
                    heard = time.monotonic()
                if not more:
                    await anyio.sleep(LOOK_SECONDS)

    def _over(self, began: float) -> bool:
        # A server that is told to stop sets this, as it would wait for every stream otherwise.
        stopping = getattr(self._request.app.state, "stopping", False)
        return bool(stopping) or time.monotonic() - began > LONGEST_SECONDS

    def _next(self, shared: SharedReader) -> tuple[str, bool, bool]:
        """What is to be said now, whether there is more at once, and whether that was all."""
        try:
            return self._said(shared)
        except Exception as error:  # noqa: BLE001 (whoever follows asks again, and is told then)
            log.warning("the events of run %s end: %s", self._run_id, type(error).__name__)
            return "", False, True

    def _said(self, shared: SharedReader) -> tuple[str, bool, bool]:
        state = shared.read()
        if state is None:
            return "", False, True
        said = list(self._changes(state))
        more = False
        if self._tail is not None:
            lines, more = self._tail.read(state)
            said += [_event("log", line, position) for line, position in lines]
        over = state.finished and not more
        if over:
            said.append(_event("end", End(status=state.run.status), self._position))
        return "".join(said), more, over

    @property
    def _position(self) -> str:
        return str(self._tail.position) if self._tail is not None else ""

    def _changes(self, state: RunState) -> Iterator[str]:
        """The run and those of its stages that aren't as they were told."""
        before = self._told
        if state is before:
            return
        self._told = state
        if before is None or state.run != before.run:
            yield _event("run", state.run, self._position)
        known = {} if before is None else {stage.name: stage for stage in before.stages}
        for stage in state.stages:
            if stage != known.get(stage.name):
                yield _event("stage", stage, self._position)


class EventStream(StreamingResponse):
    """A stream of events, if there is a place for one more; else 503. It ends when its reader goes away."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, events: RunEvents) -> None:
        super().__init__(events.text(), headers={"X-Accel-Buffering": "no"})
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._streams.enter():
            said = f"{MOST_STREAMS} runs are being followed already; try again"
            await problem(503, said, headers={"Retry-After": str(FULL_RETRY_SECONDS)})(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave()


def _event(name: str, data: BaseModel, position: str) -> str:
    # JSON has no line ends, so one `data` line is enough.
    place = f"id: {position}\n" if position else ""
    return f"event: {name}\n{place}data: {data.model_dump_json()}\n\n"
