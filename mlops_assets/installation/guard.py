"""The guard in front of Dagster's webserver and MLflow: an ASGI application that lets in who brings the inner token.

That are the gateway's door, which has found out who asks, and the platform's own programs. Keep out who may do what:
the door and the application behind it decide.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mlops_assets.settings import ROLE_HEADER, WHO_HEADER, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LIVEZ = "/livez"
AUTHORIZATION = b"authorization"
SCHEME = b"bearer "
TOLD = (ROLE_HEADER.encode(), WHO_HEADER.encode())
# The door has judged where a request came from and who sends it; what is behind it needs neither.
LEFT_OUT = (AUTHORIZATION, b"cookie", b"origin")


class GuardError(RuntimeError):
    """There is nothing to compare with, so nobody can be let in; the message says what to do."""


class Guard:
    """`application` for those who send `token`; everybody else is told of the `door`, an address. `/livez` is open."""

    def __init__(self, application: Application, token: str, door: str) -> None:
        if not token:
            raise GuardError("the inner token is empty")
        self._application = application
        self._token = token.encode()
        self._refusal = f"Only the platform's own programs may ask here. Open {door}/ instead.\n".encode()

    @classmethod
    def of(cls, application: Application, settings: Settings, door: str) -> Guard:
        """The guard of an installation. Raises GuardError where none was started yet."""
        token = settings.inner_token
        if token is None:
            raise GuardError(f"{settings.secrets} holds no inner token; start the installation with: mlops up")
        return cls(application, token, door)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif _is_livez(scope):
            await answer(send, "http.response", 200, b"ok\n")
        elif self._knows(scope["headers"]):
            await self._application({**scope, "headers": _passed_on(scope["headers"])}, receive, send)
        elif scope["type"] == "http":
            await answer(send, "http.response", 401, self._refusal)
        else:
            await self._refuse_websocket(scope, receive, send)

    def _knows(self, headers: Headers) -> bool:
        """Whether exactly one `Authorization` came, with the token; a wrong one takes as long as the right one."""
        sent = [value for name, value in headers if name == AUTHORIZATION]
        if len(sent) != 1 or sent[0][: len(SCHEME)].lower() != SCHEME:
            return False
        return hmac.compare_digest(sent[0][len(SCHEME) :].strip(), self._token)

    async def _refuse_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if "websocket.http.response" in scope.get("extensions", {}):
            await answer(send, "websocket.http.response", 401, self._refusal)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": ""})


def _is_livez(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["path"] == LIVEZ and scope["method"] in ("GET", "HEAD")


def _passed_on(headers: Headers) -> Headers:
    """What the application gets to see. Of several roles or names none counts: one of them isn't the door's."""
    names = [name for name, _ in headers]
    unclear = {name for name in TOLD if names.count(name) > 1}
    return [(name, value) for name, value in headers if name not in LEFT_OUT and name not in unclear]


async def answer(send: Send, kind: str, status: int, body: bytes) -> None:
    """Send a whole answer of plain text. `kind` is ASGI's prefix of its messages."""
    headers = [
        *((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())),
        *((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
