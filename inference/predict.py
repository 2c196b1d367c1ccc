"""The two prediction endpoints: read, estimate, log, answer, count.

Add here what every answer must carry. Keep out validation (`contract`), the computation (`model`), the log's
lines (`record`) and routes (`app`). One record is answered on the event loop (tens of microseconds, a detector's
reasons a millisecond); large batches and those with reasons leave it for a thread. Whoever gets an estimate finds it
in the log: its line is written first.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from inference.contract import BadBodyError, Contract, field_error
from inference.drill import Drill
from inference.metrics import Metrics
from inference.model import Estimate
from inference.prediction_id import PredictionIds
from inference.record import Answered, Recorder
from inference.served import Served, Serving
from inference.settings import PREDICTION, SCORE, ServingSettings
from inference.spans import PREDICTION_ID

# Above this size a body may hold so many rows that parsing and estimating them would hold up other requests.
LARGE_BATCH_BYTES = 4096


@dataclass(frozen=True)
class _Batch:
    """An answered batch that isn't logged yet: the body, the estimates in it, and how many rows had none."""

    body: bytes
    answered: tuple[Answered, ...]
    refused: int


class Predictor:
    """Answers predictions with whatever release is served when a request comes; without `recorder`, unlogged."""

    def __init__(
        self,
        settings: ServingSettings,
        contract: Contract,
        served: Served,
        metrics: Metrics,
        recorder: Recorder | None,
        drill: Drill,
    ) -> None:
        self._answer_name = settings.answer
        self._contract = contract
        self._served = served
        self._metrics = metrics
        self._recorder = recorder
        self._drill = drill
        # Without a log nobody asks for an identifier again, so any key will do.
        self._ids = recorder.ids if recorder is not None else PredictionIds(os.urandom(32), settings.product)

    async def predict(self, request: Request) -> Response:
        """POST /api/<route>."""
        began = perf_counter()
        serving = self._serving()
        try:
            record = await self._contract.read(request)
        except BadBodyError as error:
            return _json(to_json({"detail": error.detail}), serving, error.status)
        if self._drill.order is not None:
            await self._drill.obey(serving.label)
        output = self._output(serving, serving.model.estimate((record,))[0])
        identifier = request.scope[PREDICTION_ID] = self._ids.new()
        body = to_json(_answer(serving, output, identifier, began))
        recorder = self._recorder
        if recorder is not None:
            answered = (Answered(identifier, record, output),)
            caller = recorder.caller(request.scope["headers"])
            recorder.journal.append(recorder.lines(caller, serving, answered, _milliseconds(began)))
        arm = self._metrics.arm(serving.label)
        arm.predictions.inc()
        arm.seconds.observe(perf_counter() - began)
        return _json(body, serving)

    async def predict_batch(self, request: Request) -> Response:
        """POST /api/<route>/batch."""
        began = perf_counter()
        serving = self._serving()
        body = await self._contract.read_batch_body(request)
        if self._drill.order is not None:
            await self._drill.obey(serving.label)
        try:
            if len(body) > LARGE_BATCH_BYTES or serving.model.reasons is not None:
                batch, lines = await asyncio.to_thread(self._batch, request, serving, body, began)
            else:
                batch, lines = self._batch(request, serving, body, began)
        except BadBodyError as error:
            return _json(to_json({"detail": error.detail}), serving, error.status)
        # Back on the event loop: a batch that was given up while the thread worked is neither logged nor counted.
        if lines and self._recorder is not None:
            self._recorder.journal.append(lines)
        if batch.refused:
            self._metrics.failed(422, batch.refused)
        arm = self._metrics.arm(serving.label)
        arm.predictions.inc(len(batch.answered))
        arm.batch_seconds.observe(perf_counter() - began)
        return _json(batch.body, serving)

    def _batch(self, request: Request, serving: Serving, body: bytes, began: float) -> tuple[_Batch, bytes]:
        """The answer to a batch and its log lines. The time logged for a record is its part of the batch's."""
        batch = self._estimate_batch(serving, body, began)
        recorder = self._recorder
        if recorder is None or not batch.answered:
            return batch, b""
        each = _milliseconds(began) / len(batch.answered)
        return batch, recorder.lines(recorder.caller(request.scope["headers"]), serving, batch.answered, each)

    def _estimate_batch(self, serving: Serving, body: bytes, began: float) -> _Batch:
        rows = self._contract.parse_batch(body)
        valid = [item for item in rows if isinstance(item, BaseModel)]
        estimates = iter(serving.model.estimate(valid) if valid else ())
        predictions: list[dict[str, Any]] = []
        answered: list[Answered] = []
        for item in rows:
            if isinstance(item, ValidationError):
                predictions.append({"error": field_error(item)})
                continue
            one = Answered(self._ids.new(), item, self._output(serving, next(estimates)))
            answered.append(one)
            predictions.append(_answer(serving, one.output, one.identifier, began))
        return _Batch(to_json({"predictions": predictions}), tuple(answered), len(rows) - len(valid))

    def _serving(self) -> Serving:
        serving = self._served.current
        if serving is None:
            raise HTTPException(503, "no model is loaded yet; GET /api/health says why", {"Retry-After": "1"})
        return serving

    def _output(self, serving: Serving, estimate: Estimate) -> dict[str, Any]:
        """What is said about one record, to the client and in the log."""
        manifest = serving.model.manifest
        target = manifest.target
        value, low, high = estimate.value, estimate.low, estimate.high
        if isinstance(value, float):
            value = round(value, target.decimals)
        if estimate.pred is not None:
            output: dict[str, Any] = {PREDICTION: estimate.pred, SCORE: value, "reasons": estimate.reasons}
        else:
            output = {self._answer_name: value}
        if low is not None and high is not None:
            output["interval"] = {"low": round(low, target.decimals), "high": round(high, target.decimals)}
        if estimate.probabilities:
            output["probabilities"] = estimate.probabilities
        if target.unit or estimate.pred is None:
            output["unit"] = target.unit
        if manifest.dataset.sample:
            output["sample_data"] = True
        if estimate.notes:
            output["notes"] = estimate.notes
        return output


def _answer(serving: Serving, output: dict[str, Any], identifier: str, began: float) -> dict[str, Any]:
    return output | {
        "prediction_id": identifier,
        "response_time_ms": _milliseconds(began),
        "model_version": serving.model.version,
        "variant": serving.label,
    }


def _milliseconds(began: float) -> float:
    return round((perf_counter() - began) * 1e3, 3)


def _json(body: bytes, serving: Serving, status: int = 200) -> Response:
    response = Response(body, status, media_type="application/json")
    response.raw_headers.extend(serving.headers)
    return response
