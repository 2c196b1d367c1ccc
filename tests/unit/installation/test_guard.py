"""The guard: who is let in, what the application behind it gets to see, and what everybody else is told."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from mlops_assets.installation import run_mlflow, secret_files
from mlops_assets.installation.graphql_form import OneForm
from mlops_assets.installation.guard import Guard, GuardError
from mlops_assets.settings import Settings

TOKEN = "the-inner-token"
RIGHT = (b"authorization", b"Bearer the-inner-token")
DOOR = "https://ml.example.org/dagster"
JSON = (b"content-type", b"application/json")


class Inner:
    """An application that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.asked.append(dict(scope))
        await send({"type": "http.response.start", "status": 204, "headers": []})


def ask(application: Any, *headers: tuple[bytes, bytes], **scope: Any) -> list[MutableMapping[str, Any]]:
    """What an application answers to one request."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect" if scope.get("type") == "websocket" else "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asked = {"type": "http", "method": "GET", "path": "/dagster/graphql", "headers": list(headers)} | scope
    asyncio.run(application(asked, receive, send))
    return sent


def status(application: Any, *headers: tuple[bytes, bytes], **scope: Any) -> int:
    return int(ask(application, *headers, **scope)[0]["status"])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"the-inner-token")],
        [(b"authorization", b"Basic the-inner-token")],
        [(b"authorization", b"Bearer the-inner-toke")],
        [(b"authorization", b"Bearer the-inner-token2")],
        [(b"authorization", b"Bearer \xff\x00")],
        [(b"authorization", b"Bearer the-inner-token, Bearer x")],
        [RIGHT, RIGHT],
        [RIGHT, (b"authorization", b"Bearer another")],
        [(b"cookie", b"authorization=Bearer the-inner-token")],
        [(b"x-authorization", b"Bearer the-inner-token")],
    ],
)
def test_nobody_else_reaches_the_application(headers: list[tuple[bytes, bytes]]) -> None:
    inner = Inner()
    guard = Guard(inner, TOKEN, DOOR)
    for path in ("/", "/dagster/graphql", "/livez/", "/livez/x", "/LIVEZ", "//livez", "/api/2.0/mlflow/runs/create"):
        start, body = ask(guard, *headers, path=path)
        assert start["status"] == 401
        assert dict(start["headers"])[b"www-authenticate"] == b"Bearer"
        (line,) = body["body"].decode().splitlines()
        assert DOOR in line
        assert TOKEN not in line
    assert status(guard, *headers, path="/livez", method="POST") == 401
    assert inner.asked == []


@pytest.mark.parametrize("sent", [b"Bearer the-inner-token", b"bearer the-inner-token", b"Bearer  the-inner-token "])
def test_the_token_lets_in_and_goes_no_further(sent: bytes) -> None:
    inner = Inner()
    told = [(b"x-mlops-who", b"kim"), (b"x-mlops-role", b"viewer"), (b"accept", b"text/html")]
    away = [(b"authorization", sent), (b"cookie", b"mlops_session=1"), (b"origin", b"https://ml.example.org")]
    assert status(Guard(inner, TOKEN, DOOR), *told, *away) == 204
    assert inner.asked[0]["headers"] == told
    assert inner.asked[0]["path"] == "/dagster/graphql"


def test_of_two_roles_or_names_none_counts() -> None:
    inner = Inner()
    roles = [(b"x-mlops-role", b"viewer"), (b"x-mlops-role", b"operator")]
    ask(Guard(inner, TOKEN, DOOR), RIGHT, *roles, (b"x-mlops-who", b"kim"))
    assert inner.asked[0]["headers"] == [(b"x-mlops-who", b"kim")]


def test_anybody_may_ask_whether_it_lives() -> None:
    inner = Inner()
    guard = Guard(inner, TOKEN, DOOR)
    assert (status(guard, path="/livez"), status(guard, path="/livez", method="HEAD")) == (200, 200)
    assert inner.asked == []


def test_a_websocket_needs_the_token_too() -> None:
    inner = Inner()
    guard = Guard(inner, TOKEN, DOOR)
    assert [message["type"] for message in ask(guard, type="websocket")] == ["websocket.close"]
    assert [message["type"] for message in ask(guard, type="websocket", path="/livez")] == ["websocket.close"]
    start, body = ask(guard, type="websocket", extensions={"websocket.http.response": {}})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert DOOR in body["body"].decode()
    assert inner.asked == []
    ask(guard, RIGHT, type="websocket")
    assert len(inner.asked) == 1


def test_the_application_starts_and_stops_with_the_server() -> None:
    inner = Inner()
    ask(Guard(inner, TOKEN, DOOR), type="lifespan")
    assert [asked["type"] for asked in inner.asked] == ["lifespan"]


def test_without_a_token_there_is_no_server(tmp_path: Any) -> None:
    with pytest.raises(GuardError, match="mlops up"):
        Guard.of(Inner(), Settings(home=tmp_path), DOOR)
    with pytest.raises(GuardError):
        Guard(Inner(), "", DOOR)
    secret_files.prepare(tmp_path / "secrets")
    (tmp_path / "secrets" / "inner_token").write_text("\n")
    with pytest.raises(GuardError):
        Guard.of(Inner(), Settings(home=tmp_path), DOOR)


def test_an_mlflow_that_starts_in_another_way_does_not_start_unguarded() -> None:
    known = ["python", "-m", "uvicorn", "--workers", "1", "mlflow.server.fastapi_app:app"]
    assert run_mlflow.with_guard(known)[-2:] == ["--factory", "mlops_assets.installation.run_mlflow:guarded"]
    for other in ([*known[:-1], "mlflow.server:app"], [*known, "mlflow.server.fastapi_app:app"], []):
        with pytest.raises(GuardError):
            run_mlflow.with_guard(other)


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("POST", [JSON], 204),
        ("POST", [(b"content-type", b"Application/JSON; charset=utf-8")], 204),
        ("POST", [], 415),
        ("POST", [(b"content-type", b"text/plain; application/json")], 415),
        ("POST", [(b"content-type", b"application/graphql")], 415),
        ("POST", [(b"content-type", b"application/x-www-form-urlencoded")], 415),
        ("POST", [JSON, (b"content-type", b"text/plain")], 415),
        ("GET", [(b"accept", b"text/html,*/*")], 204),
        ("GET", [(b"accept", b"*/*")], 415),
        ("GET", [], 415),
        ("GET", [JSON], 415),
        ("GET", [(b"accept", b"application/json"), (b"accept", b"text/html")], 415),
        ("HEAD", [(b"accept", b"text/html")], 415),
        ("OPTIONS", [], 415),
    ],
)
def test_graphql_is_asked_in_one_form(method: str, headers: list[tuple[bytes, bytes]], expected: int) -> None:
    application = OneForm(Inner(), "/dagster/graphql")
    assert status(application, *headers, method=method, query_string=b"query=mutation{x}") == expected
    assert status(application, method=method, path="/dagster/runs") == 204
    assert ask(application, type="websocket")
