"""A run is followed to its end over connections that break, and everything is told once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mlops_assets.api.pipelines.run_schemas import RunStatus
from mlops_assets.client import ApiError, AuthError, NotFoundError, StageLine, UnavailableError
from tests.unit.client.fake_api import Broken, FakeApi, event, line, ok, problem, run, stage

EVENTS = "GET runs/r1/events"


def stream(*pieces: bytes, error: Exception | None = None) -> Any:
    return lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Broken(pieces, error))


def logged(number: int, attempt: int = 1) -> bytes:
    return event("log", line(number, f"line {number}", stage="train", attempt=attempt), f"e{attempt}{number}")


def told(api: FakeApi) -> list[str]:
    """The events in short."""
    found = []
    for one in api.client.follow("r1"):
        words = one.data.text if isinstance(one.data, StageLine) else getattr(one.data, "status", "")
        found.append(f"{one.kind} {words}".strip())
    return found


def test_a_run_is_told_from_its_state_to_its_end() -> None:
    api = FakeApi().on(
        EVENTS,
        stream(
            event("run", run(status="RUNNING")),
            event("stage", stage("train", "RUNNING")),
            event("news", {"of a newer api": 1}),
            logged(1),
            event("stage", stage("train", "COMPLETED")),
            event("run", run(status="COMPLETED")),
            event("end", {}),
            event("log", {"after": "the end"}),
        ),
    )
    assert told(api) == ["run RUNNING", "stage RUNNING", "log line 1", "stage COMPLETED", "run COMPLETED", "end"]
    assert api.requests[0].headers["accept"] == "text/event-stream"
    assert len(api.requests) == 1


def test_a_broken_connection_is_taken_up_where_it_broke_and_no_line_is_told_twice() -> None:
    api = FakeApi().on(
        EVENTS,
        stream(event("run", run()), logged(1), logged(2)[:-9], error=httpx.ReadError("reset")),
        httpx.ConnectError("refused"),
        problem(503, Retry_After="2"),
        stream(logged(1), logged(2), b": still here\n\n", error=httpx.ReadTimeout("quiet")),
        stream(logged(2), logged(3), logged(1, attempt=2), event("end", {})),
    )
    assert told(api) == ["run RUNNING", "log line 1", "log line 2", "log line 3", "log line 1", "end"]
    assert [r.headers.get("last-event-id") for r in api.sent(EVENTS)] == [None, "e11", "e11", "e11", "e12"]
    assert 2.0 in api.clock.waited


def test_an_end_that_was_never_told_is_read_from_the_run() -> None:
    api = FakeApi().on(EVENTS, stream(event("run", run()), logged(1)), stream())
    api.on("GET runs/r1", ok(run(status="RUNNING")), ok(run(status="FAILED")))
    assert told(api) == ["run RUNNING", "log line 1", "run FAILED", "end"]
    # Between two tries there is a pause.
    assert all(pause > 0 for pause in api.clock.waited)
    assert len(api.clock.waited) == len(api.sent(EVENTS)) - 1


def test_logs_that_nobody_wants_are_not_sent() -> None:
    api = FakeApi().on(EVENTS, stream(event("end", {})))
    list(api.client.follow("r1"))
    list(api.client.follow("r1", logs=False))
    assert [request.url.params.get("logs") for request in api.requests] == [None, "false"]


def test_a_quiet_run_is_followed_for_as_long_as_it_takes() -> None:
    api = FakeApi().on(EVENTS, *[stream(error=httpx.ReadTimeout("quiet"))] * 200, stream(event("end", {})))
    api.on("GET runs/r1", ok(run(status="RUNNING")))
    assert told(api) == ["end"]
    assert len(api.sent(EVENTS)) == 201


@pytest.mark.parametrize("asked", [b"", b"retry: 86400000\n\n", b"retry: 0\n\n"])
def test_an_api_that_stays_away_is_given_up(asked: bytes) -> None:
    api = FakeApi().on(EVENTS, stream(asked + event("run", run())), httpx.ConnectError("refused"))
    seen = []
    with pytest.raises(UnavailableError, match="refused"):
        seen += list(api.client.follow("r1"))
    assert sum(api.clock.waited) < 600


@pytest.mark.parametrize(("answer", "kind"), [(problem(404), NotFoundError), (problem(401), AuthError)])
def test_a_refusal_is_told_at_once(answer: httpx.Response, kind: type[Exception]) -> None:
    api = FakeApi().on(EVENTS, answer)
    with pytest.raises(kind):
        told(api)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "wrong", [b"event: run\ndata: {}\n\n", b"event: stage\ndata: no json\n\n", b"event: log\ndata\n\n"]
)
def test_an_event_that_makes_no_sense_is_an_error(wrong: bytes) -> None:
    api = FakeApi().on(EVENTS, stream(wrong))
    with pytest.raises(ApiError, match="answers is no"):
        told(api)


def test_who_stops_following_leaves_no_connection_behind() -> None:
    closed = []

    class Open(Broken):
        def close(self) -> None:
            closed.append(True)

    pieces = [event("run", run())] * 3
    api = FakeApi().on(EVENTS, lambda _: httpx.Response(200, stream=Open(pieces, None)))
    events = api.client.follow("r1")
    first = next(events).data
    assert getattr(first, "status", None) is RunStatus.RUNNING
    events.close()  # type: ignore[attr-defined]
    assert closed
