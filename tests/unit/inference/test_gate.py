"""Limits that hold before any route: requests at once, and what a slow body costs the others."""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send

from inference.gate import Gate
from inference.metrics import Metrics
from inference.settings import ServingSettings
from tests.unit.inference.asgi_client import AsgiClient


def test_more_posts_than_allowed_get_503_and_the_rest_their_answer(settings: ServingSettings, metrics: Metrics) -> None:
    async def scene() -> tuple[list[int], list[int], str, int]:
        let_go = asyncio.Event()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            await let_go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        client = AsgiClient(Gate(slow, settings, metrics))
        waiting = [asyncio.create_task(client.request("POST", "/api/x")) for _ in range(4)]
        await asyncio.sleep(0.05)
        refused = [await client.request("POST", "/api/x") for _ in range(3)]
        let_go.set()
        answered = [answer.status_code for answer in await asyncio.gather(*waiting)]
        after = await client.request("POST", "/api/x")
        codes = [answer.status_code for answer in refused]
        return answered, codes, refused[0].headers["retry-after"], after.status_code

    assert asyncio.run(scene()) == ([200] * 4, [503] * 3, "1", 200)


def test_reading_is_never_refused_for_being_busy(settings: ServingSettings, metrics: Metrics) -> None:
    gate = Gate(_ok, settings.model_copy(update={"max_concurrency": 0}), metrics)
    client = AsgiClient(gate)
    assert (client.post("/api/x").status_code, client.get("/api/health").status_code) == (503, 200)


def test_cancelled_request_frees_its_place_and_counts(settings: ServingSettings, metrics: Metrics) -> None:
    async def scene() -> int:
        async def forever(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        gate = Gate(forever, settings, metrics)
        client = AsgiClient(gate)
        for _ in range(settings.max_concurrency + 1):
            task = asyncio.create_task(client.request("POST", "/api/x"))
            await asyncio.sleep(0.02)
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return settings.max_concurrency + 1

    cancelled = asyncio.run(scene())
    labels = {"product": settings.product, "variant": settings.variant, "status": "504"}
    assert metrics.registry.get_sample_value("prediction_errors_total", labels) == cancelled


async def _ok(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
