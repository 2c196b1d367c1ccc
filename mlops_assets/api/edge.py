"""What holds for every request before a route sees it: a limit on bodies, an id, headers that keep browsers strict.

Keep out anything that depends on who is asking or on what. Plain ASGI, since each layer is paid by every request.
"""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.api.problems import problem
from mlops_assets.pipelines.parameters import MAX_GIVEN_BYTES
from mlops_assets.pipelines.structure import MAX_BYTES
from mlops_assets.rollout.envoy.door import GRAPHQL_BYTES, SIGN_IN_PATH

BODY_LIMIT = 64 * 1024
# Pipelines, and what runs and templates are given; with room for escapes, indents and a form around them.
LARGER = (
    (re.compile(r"/api/v1/pipelines(/[^/]+)?"), MAX_BYTES + MAX_BYTES // 4),
    (re.compile(r"/api/v1/(pipelines/[^/]+/runs|templates/[^/]+/render)"), MAX_GIVEN_BYTES + MAX_GIVEN_BYTES // 4),
    # A group of alerts is one body.
    (re.compile(r"/api/v1/alerts"), 2 * 1024 * 1024),
    # What somebody sends to Dagster, for the door to look at.
    (re.compile(SIGN_IN_PATH + "/dagster/graphql"), GRAPHQL_BYTES),
)
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
# Swagger UI draws its icons from data: URLs and is the only page that needs them.
HEADERS = tuple(
    (name.lower().encode(), value.encode())
    for name, value in {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }.items()
)


class Edge:
    """Answers 413 to bodies over 64 KiB, or over what pipelines need, adds security headers, gives each request an id.

    The id is the caller's own `X-Request-ID` if it can be kept; routes find it as `request.state.request_id`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        added = (*HEADERS, (b"x-request-id", request_id.encode()))

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in HEADERS}
                message["headers"] = [h for h in message["headers"] if h[0].lower() not in own] + list(added)
            await send(message)

        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        limit = _limit(scope)
        if not declared.isdigit() or int(declared[:20]) > limit:
            await problem(413, _too_large(limit), headers={"Connection": "close"})(scope, receive, strict)
            return
        await self._app(scope, _counted(receive, limit), strict)


def _limit(scope: Scope) -> int:
    if scope["method"] in ("POST", "PUT"):
        for path, limit in LARGER:
            if path.fullmatch(scope["path"]):
                return limit
    return BODY_LIMIT


def _too_large(limit: int) -> str:
    return f"the body has more than {limit} bytes"


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if REQUEST_ID.fullmatch(given) else uuid4().hex


def _counted(receive: Receive, limit: int) -> Receive:
    """`receive` that ends in 413 once more bytes came than are allowed, whatever length was declared."""
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, _too_large(limit), {"Connection": "close"})
        return message

    return counting
