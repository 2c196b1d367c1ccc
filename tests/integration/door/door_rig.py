"""A real door: Envoy with a real control API, and stand-ins for Dagster and MLflow that tell what reached them.

Add here what more than one file of this folder needs. Keep out assertions.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mlops_assets.access import tokens
from mlops_assets.access.roles import AccessError, Caller, Kind, Role
from mlops_assets.api.app import create_app
from mlops_assets.rollout import gateway
from mlops_assets.settings import INNER_TOKEN_FILE, Settings
from mlops_assets.storage.database import Database
from tests.integration.gateway_rig import PLAIN, make_rig, running_gateway
from tests.integration.serving_thread import served
from tests.servers import free_port

OPERATORS_TOKEN = "operators-token-of-a-test"
INNER_TOKEN = "inner-token-of-a-test"
BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)
LARGE = 24 * 1024 * 1024


@dataclass
class Seen:
    """One request as it reached what is behind the door. Header names are in small letters."""

    method: str
    path: str
    query: str
    headers: dict[str, list[str]]
    size: int


class Behind:
    """Takes the place of Dagster's webserver or MLflow: any path is answered, with headers it had better not send."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, free_port()
        self.seen: list[Seen] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[str, list[str]] = {}
        for key, value in scope["headers"]:
            headers.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        said = Seen(scope.get("method", "WS"), scope["path"], scope["query_string"].decode("latin-1"), headers, 0)
        self.seen.append(said)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "graphql-ws"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": f"{self.name}: {message['text']}"})
            return
        more = True
        while more:
            message = await receive()
            said.size += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = json.dumps({"from": self.name, "path": scope["path"]}).encode()
        if scope["path"].endswith("/large"):
            body = b"x" * LARGE
        own = {
            "content-type": "text/html" if scope["path"].endswith(".html") else "application/json",
            "set-cookie": "mlops_session=stolen; Path=/",
            "content-security-policy": "script-src 'self'",
            "referrer-policy": "unsafe-url",
            "service-worker-allowed": "/",
        }
        start = [(key.encode(), value.encode()) for key, value in own.items()]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        await send({"type": "http.response.body", "body": body})


@dataclass
class Rig:
    """A running door."""

    port: int
    admin: str
    app: FastAPI
    database: Database
    dagster: Behind
    mlflow: Behind
    api_port: int
    issued: dict[Role, str] = field(default_factory=dict)
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, who: Role | None = None, **more: Any) -> httpx.Client:
        """Somebody with an issued token of this role, or the installation's own, or none."""
        headers = {"authorization": f"Bearer {self.issued[who]}"} if who else {}
        return self._opened(headers | more.pop("headers", {}), **more)

    def _opened(self, headers: dict[str, str], **more: Any) -> httpx.Client:
        self.clients.append(httpx.Client(base_url=self.url, headers=headers, timeout=20, **PLAIN, **more))
        return self.clients[-1]

    def session(self, token: str = OPERATORS_TOKEN) -> httpx.Client:
        """Somebody who has signed in, and whose browser says which page a request comes from."""
        client = self._opened({"origin": self.url})
        answer = client.post("/session", json={"token": token}, headers={"X-Requested-With": "mlops"})
        assert answer.status_code == 204, answer.text
        return client

    def raw(self, target: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """A request for exactly this target, nothing in it made better, by the operator."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, target, headers={"authorization": f"Bearer {OPERATORS_TOKEN}"} | headers)
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer

    def forget(self) -> None:
        """Nothing has reached Dagster or MLflow, and nobody is connected."""
        while self.clients:
            self.clients.pop().close()
        self.dagster.seen.clear()
        self.mlflow.seen.clear()


def query(text: str, **more: Any) -> dict[str, Any]:
    """What Dagster's pages send."""
    return {"query": text, **more}


def add_test_routes(app: FastAPI) -> None:
    """What the control API should get unchanged, and give slowly or at length."""

    @app.api_route("/test/echo", methods=["GET", "POST", "PUT"])
    async def echo(request: Request) -> dict[str, Any]:
        return {"headers": request.headers.items(), "size": len(await request.body()), "query": request.url.query}

    @app.get("/test/large")
    def large() -> StreamingResponse:
        return StreamingResponse((b"y" * 65536 for _ in range(LARGE // 65536)), media_type="text/plain")

    @app.get("/test/events")
    def events(request: Request) -> StreamingResponse:
        async def ticking() -> AsyncIterator[str]:
            for number in range(3):
                yield f"data: {number}\n\n"
                # Until whoever reads has asked for more.
                while app.state.ticks <= number:
                    await asyncio.sleep(0.02)

        app.state.ticks = 0
        return StreamingResponse(ticking(), media_type="text/event-stream")


@contextmanager
def running_api(app: FastAPI, port: int) -> Iterator[None]:
    """The control API as its own process runs it."""
    with served(app, port):
        yield


@contextmanager
def running_door(database: Database, *, api: bool = True, away: str = "", **settings: Any) -> Iterator[Rig]:
    """Everything well but what is `away`, and without the control API if that isn't wanted."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="door-")))
        (folder / "secrets").mkdir()
        (folder / "secrets" / INNER_TOKEN_FILE).write_text(INNER_TOKEN)
        app = create_app(Settings(home=folder, **settings), database, token=OPERATORS_TOKEN, subjects=[])
        add_test_routes(app)
        inner = make_rig(folder, 1)
        rig = Rig(free_port(), inner.admin, app, database, Behind("dagster"), Behind("mlflow"), free_port())
        for behind in (rig.dagster, rig.mlflow):
            if behind.name != away:
                stack.enter_context(served(behind, behind.port, ws="auto"))
        if api:
            stack.enter_context(running_api(app, rig.api_port))
        door = gateway.Door("127.0.0.1", rig.port, rig.api_port, rig.dagster.port, rig.mlflow.port, INNER_TOKEN)
        stack.enter_context(running_gateway(inner, door=door))
        for role in Role:
            with suppress(AccessError):
                tokens.revoke(database, BY, f"an-{role}")
            rig.issued[role] = tokens.create(database, BY, f"an-{role}", role)
        try:
            yield rig
        finally:
            rig.forget()
