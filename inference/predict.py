"""The two prediction endpoints: read, estimate, answer, count.

Add here what every answer must carry. Keep out validation (`contract`), the computation (`model`) and routes
(`app`). One record is answered on the event loop (tens of microseconds); large batches leave it for a thread.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from inference.contract import BadBodyError, Contract, field_error
from inference.metrics import Metrics
from inference.model import Estimate, Model
from inference.prediction_id import new_prediction_id
from inference.served import Served
from inference.settings import ServingSettings

# Above this size a body may hold so many rows that parsing and estimating them would hold up other requests.
LARGE_BATCH_BYTES = 4096


class Predictor:
    """Answers predictions with whatever model is served when a request comes."""

    def __init__(self, settings: ServingSettings, contract: Contract, served: Served, metrics: Metrics) -> None:
        self._settings = settings
        self._contract = contract
        self._served = served
        self._metrics = metrics

    async def predict(self, request: Request) -> Response:
        """POST /api/<route>."""
        began = perf_counter()
        model = self._model()
        try:
            record = await self._contract.read(request)
        except BadBodyError as error:
            return _json({"detail": error.detail}, error.status)
        answer = self._answer(model, model.estimate((record,))[0], began)
        self._metrics.predictions.inc()
        self._metrics.seconds.observe(perf_counter() - began)
        return _json(answer)

    async def predict_batch(self, request: Request) -> Response:
        """POST /api/<route>/batch."""
        began = perf_counter()
        model = self._model()
        body = await self._contract.read_batch_body(request)
        try:
            if len(body) > LARGE_BATCH_BYTES:
                return await asyncio.to_thread(self._batch, model, body, began)
            return self._batch(model, body, began)
        except BadBodyError as error:
            return _json({"detail": error.detail}, error.status)

    def _batch(self, model: Model, body: bytes, began: float) -> Response:
        listings = self._contract.parse_batch(body)
        valid = [item for item in listings if isinstance(item, BaseModel)]
        estimates = iter(model.estimate(valid) if valid else ())
        predictions: list[dict[str, Any]] = []
        for item in listings:
            if isinstance(item, ValidationError):
                predictions.append({"error": field_error(item)})
            else:
                predictions.append(self._answer(model, next(estimates), began))
        self._metrics.predictions.inc(len(valid))
        if len(valid) < len(listings):
            self._metrics.failed(422, len(listings) - len(valid))
        self._metrics.batch_seconds.observe(perf_counter() - began)
        return _json({"predictions": predictions})

    def _model(self) -> Model:
        model = self._served.model
        if model is None:
            raise HTTPException(503, "no model is loaded yet; GET /api/health says why", {"Retry-After": "1"})
        return model

    def _answer(self, model: Model, estimate: Estimate, began: float) -> dict[str, Any]:
        target = model.manifest.target
        value, low, high = estimate.value, estimate.low, estimate.high
        answer: dict[str, Any] = {
            self._settings.answer: round(value, target.decimals) if isinstance(value, float) else value
        }
        if low is not None and high is not None:
            answer["interval"] = {"low": round(low, target.decimals), "high": round(high, target.decimals)}
        if estimate.probabilities:
            answer["probabilities"] = estimate.probabilities
        answer["unit"] = target.unit
        answer["prediction_id"] = new_prediction_id()
        answer["response_time_ms"] = round((perf_counter() - began) * 1e3, 3)
        answer["model_version"] = model.version
        answer["variant"] = self._settings.variant
        if model.manifest.dataset.sample:
            answer["sample_data"] = True
        if estimate.notes:
            answer["notes"] = estimate.notes
        return answer


def _json(content: Any, status: int = 200) -> Response:
    return Response(to_json(content), status, media_type="application/json")
