"""The outermost layer: limits on bodies and on requests at once, and one answer for every fault.

Add here what must hold before any route is looked at. Keep out BentoML's own limit (the time of a request, in
`service`). Written as plain ASGI because each layer here is paid by every prediction.
"""

from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference.metrics import Metrics
from inference.settings import ServingSettings

CLOSE = {"Connection": "close"}
FEEDBACK_PATH = "/api/feedback"

log = logging.getLogger(__name__)


class Gate:
    """Answers 413 to larger bodies and 503 to more POSTs at once than the settings allow; counts predictions'
    errors, which are those of every POST but feedback.
    """

    def __init__(self, app: ASGIApp, settings: ServingSettings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._guarded(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                self._metrics.failed(message["status"])
            await send(message)

        self._active += 1
        try:
            await self._limited(scope, receive, send if scope["path"] == FEEDBACK_PATH else counting)
        finally:
            self._active -= 1

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._active > self._settings.max_concurrency:
            busy = JSONResponse({"detail": "too many requests at once"}, 503, {"Retry-After": "1"})
            await busy(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if declared is None:
            receive = _counted(receive, limit)
        elif not declared.isdigit() or int(declared[:20]) > limit:
            await JSONResponse({"detail": _too_large(limit)}, 413, CLOSE)(scope, receive, send)
            return
        await self._guarded(scope, receive, send)

    def _limit(self, path: str) -> int:
        if path == FEEDBACK_PATH:
            return self._settings.feedback_body_limit
        return self._settings.batch_body_limit if path.endswith("/batch") else self._settings.body_limit

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A fault is logged under an id, and the caller gets that id and nothing else about it."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            if scope["method"] == "POST" and scope["path"] != FEEDBACK_PATH:
                self._metrics.failed(504)
            raise
        except Exception:
            fault = uuid4().hex
            log.exception("fault %s on %s %s", fault, scope.get("method"), scope.get("path"))
            if started:
                raise
            await JSONResponse({"detail": "internal fault", "fault_id": fault}, 500)(scope, receive, send)


def _counted(receive: Receive, limit: int) -> Receive:
    """`receive` of a body without a declared length, which ends in 413 once more than `limit` bytes came."""
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, _too_large(limit), CLOSE)
        return message

    return counting


def _too_large(limit: int) -> str:
    return f"the body has more than {limit} bytes"
