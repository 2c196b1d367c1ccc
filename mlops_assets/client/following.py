"""A run's events as they happen, over connections that may break.

Add a kind of event here when the API tells it. Keep out the wire (`event_stream`) and what is done with events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlops_assets.api.pipelines.run_schemas import RunStatus, RunView, StageLine, StageRunView
from mlops_assets.client.connection import Connection, parsed, path
from mlops_assets.client.errors import UnavailableError
from mlops_assets.client.event_stream import Message, messages

FINISHED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
# So often in a row a connection may fail before the run is given up.
MOST_FAILURES = 20


@dataclass(frozen=True)
class RunEvent:
    """The run or one of its stages as it is now, a line that a stage logged, or the end, which has no data."""

    kind: Literal["run", "stage", "log", "end"]
    data: RunView | StageRunView | StageLine | None = None


class Follower:
    """One reading of a run's events from its present state to its end, with what stages log or without."""

    def __init__(self, connection: Connection, run_id: str, *, logs: bool) -> None:
        self._connection = connection
        self._run_id = run_id
        self._path = path("runs", run_id, "events") + ("" if logs else "?logs=false")
        self._newest: str | None = None
        self._told: dict[tuple[str, int], int] = {}
        self._retry: float | None = None
        self._heard = False
        self._ended = False

    def events(self) -> Iterator[RunEvent]:
        """Every event once. UnavailableError: the API stays away."""
        failures = 0
        while not self._ended:
            try:
                self._heard = False
                yield from self._connected()
                if not self._heard:
                    # Nothing more to say, without a word of the end: the run itself knows whether it has ended.
                    yield from self._over()
                failures, pause = 0, FIRST_PAUSE if self._retry is None else self._retry
            except UnavailableError as error:
                failures += 1
                if failures > MOST_FAILURES:
                    raise
                pause = FIRST_PAUSE * 2**failures if error.retry_after is None else error.retry_after
            if not self._ended:
                self._connection.clock.sleep(min(pause, LONGEST_PAUSE))

    def _connected(self) -> Iterator[RunEvent]:
        """The events of one connection, until it ends or breaks. UnavailableError: there was none."""
        headers = {"Accept": "text/event-stream"}
        if self._newest is not None:
            headers["Last-Event-ID"] = self._newest
        answered = False
        try:
            with self._connection.stream(self._path, headers) as response:
                answered = True
                yield from self._events(response.iter_bytes())
        except UnavailableError:
            if not answered:
                raise

    def _events(self, chunks: Iterable[bytes]) -> Iterator[RunEvent]:
        for message in messages(chunks):
            self._retry = message.retry if message.retry is not None else self._retry
            event = self._event(message)
            self._newest, self._heard = message.id or self._newest, True
            if event is not None:
                yield event
            if self._ended:
                return

    def _event(self, message: Message) -> RunEvent | None:
        """The event of a message; None for a kind that a newer API may have, or a line that was told before."""
        what = f"GET {self._path} ({message.event})"
        if message.event == "run":
            return RunEvent("run", parsed(RunView, message.data, what))
        if message.event == "stage":
            return RunEvent("stage", parsed(StageRunView, message.data, what))
        if message.event == "log":
            return self._line(parsed(StageLine, message.data, what))
        if message.event == "end":
            self._ended = True
            return RunEvent("end")
        return None

    def _line(self, line: StageLine) -> RunEvent | None:
        attempt = (line.stage, line.attempt)
        if line.number <= self._told.get(attempt, 0):
            return None
        self._told[attempt] = line.number
        return RunEvent("log", line)

    def _over(self) -> Iterator[RunEvent]:
        run = self._connection.get(RunView, path("runs", self._run_id))
        if run.status in FINISHED:
            self._ended = True
            yield RunEvent("run", run)
            yield RunEvent("end")
