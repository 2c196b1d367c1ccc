"""Tells the collector of the predictions and feedback that the gateway chose to trace.

Add here what a span says of a request. Keep out how spans are sent (`otlp`). Who chooses is the gateway, by the
`sampled` flag of its `traceparent`; a request that wasn't chosen pays for one look at its headers. A span holds no
value of a request or an answer, no user and no address: the prediction's id leads to the log, which has them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference.gate import FEEDBACK_PATH
from inference.otlp import Collector, Span
from inference.settings import ServingSettings
from inference.trace_id import TRACEPARENT, Parent, parent_of

# Where a prediction leaves its id for whoever stands around the application.
PREDICTION_ID = "mlops.prediction_id"
# Headers of an answer that say who gave it.
TOLD = {b"x-served-by": "mlops.variant", b"x-model-version": "mlops.release"}


class Spans:
    """The application, with a span for each chosen request to one of the product's own paths."""

    def __init__(self, app: ASGIApp, settings: ServingSettings, collector: Collector) -> None:
        self._app = app
        self._product = settings.product
        self._collector = collector
        route = f"/api/{settings.route}"
        self._names = {path: f"POST {path}" for path in (route, f"{route}/batch", FEEDBACK_PATH)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._names.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        parent = _chosen(scope["headers"]) if name is not None else None
        if name is None or parent is None:
            await self._app(scope, receive, send)
            return
        status = 0
        told: dict[str, str | int] = {"http.request.method": "POST", "mlops.product": self._product}

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told.update((TOLD[key], value.decode()) for key, value in message["headers"] if key in TOLD)
            await send(message)

        began = time.time_ns()
        try:
            await self._app(scope, receive, seen)
        finally:
            if PREDICTION_ID in scope:
                told[PREDICTION_ID] = scope[PREDICTION_ID]
            if status:
                told["http.response.status_code"] = status
            span_id = os.urandom(8).hex()
            failed = status == 0 or status >= 500
            self._collector.add(
                Span(parent.trace_id, span_id, parent.span_id, name, began, time.time_ns(), failed, told)
            )


def _chosen(headers: Iterable[tuple[bytes, bytes]]) -> Parent | None:
    given = [value for name, value in headers if name == TRACEPARENT]
    parent = parent_of(given[0]) if len(given) == 1 else None
    return parent if parent is not None and parent.sampled else None
