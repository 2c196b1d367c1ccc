"""The ASGI application that BentoML mounts before the real one exists, and the one path it must not answer itself.

Keep out everything else: this module is imported in BentoML's supervising process, where nothing is served,
and there FastAPI, NumPy and ONNX Runtime would only cost memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class LateApp:
    """Passes every request on to the application it was opened with."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._ready: Callable[[], bool] = bool

    def open(self, app: ASGIApp, ready: Callable[[], bool]) -> None:
        """Begin to pass requests on. `ready` tells whether predictions can be answered now."""
        self._app = app
        self._ready = ready

    def ready(self) -> bool:
        """Whether predictions can be answered now."""
        return self._ready()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            raise RuntimeError("a request came before the worker was started")
        await self._app(scope, receive, send)


class Ready:
    """Gives /readyz to `front`: BentoML's own answer to it doesn't tell which release is ready."""

    def __init__(self, app: ASGIApp, front: LateApp) -> None:
        self._app = app
        self._front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"] == "/readyz"
        await (self._front if ours else self._app)(scope, receive, send)
