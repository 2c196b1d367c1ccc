"""An HTTP client of an ASGI application in the same process, for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
from starlette.types import ASGIApp


class AsgiClient:
    """Each call runs in an event loop of its own; a fault of the application is the answer it sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self.request("GET", path, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self.request("POST", path, **options))

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An iterable as `content` is sent in pieces, without a declared length."""
        content = options.get("content")
        if content is not None and not isinstance(content, str | bytes):
            options["content"] = _pieces(content)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, path, **options)


async def _pieces(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece
