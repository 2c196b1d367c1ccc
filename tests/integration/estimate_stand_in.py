"""A stand-in for the service of house prices that a test can make fail, hold, and ask what arrived.

Form, pages and the request's contract are the real ones; only the model and the log are not.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from inference.form import form_of
from inference.pages import add_pages
from mlops_assets.products.house_prices import Request as House

LOCATIONS = ["Whitefield", "Electronic City", "Electronic City Phase II", "Old Airport Road", "Hebbal"]
PREDICTION = "01a1fc6f-b1e5-7096-a5e5-2ba527286573"


class StandIn:
    """Answers like the service of house prices. `failing` statuses come first; `records` and `feedback` arrived."""

    def __init__(self) -> None:
        self.failing: list[int] = []
        self.records: list[dict[str, Any]] = []
        self.feedback: list[dict[str, Any]] = []
        self.held: asyncio.Event | None = None
        self.app = FastAPI(docs_url=None)
        self.app.add_api_route("/api/form", self.form)
        self.app.add_api_route("/api/get_location_names", lambda: {"locations": LOCATIONS})
        self.app.add_api_route("/api/predict_home_price", self.predict, methods=["POST"])
        self.app.add_api_route("/api/feedback", self.take, methods=["POST"])
        add_pages(self.app)

    def form(self) -> Any:
        route = SimpleNamespace(route="get_location_names", column="location", key="locations")
        declared: Any = SimpleNamespace(
            title="House prices", product="house_prices", answer="estimated_price", route="predict_home_price",
            vocabularies=[route], detects=False,
        )  # fmt: skip
        target = SimpleNamespace(unit="lakh INR")
        now: Any = SimpleNamespace(
            current=SimpleNamespace(model=SimpleNamespace(manifest=SimpleNamespace(target=target)))
        )
        return form_of(declared, House, now)

    async def predict(self, request: Request) -> Any:
        record = await request.json()
        self.records.append(record)
        if self.held is not None:
            await self.held.wait()
        if self.failing:
            return self._failure()
        try:
            House.model_validate(record)
        except ValidationError as error:
            entries = [{"loc": ["body", *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in error.errors()]
            return JSONResponse({"detail": entries}, 422)
        answer = {
            "estimated_price": 125.5,
            "interval": {"low": 98.25, "high": 160.0},
            "unit": "lakh INR",
            "prediction_id": PREDICTION,
            "response_time_ms": 0.4,
            "model_version": 7,
            "variant": "candidate",
            "sample_data": True,
        }
        if record["location"] not in LOCATIONS:
            answer["notes"] = [f"unknown location {record['location']}"]
        return answer

    async def take(self, request: Request) -> Any:
        if self.failing:
            return self._failure()
        self.feedback.append(await request.json())
        return {"status": "success", "message": "logged"}

    def _failure(self) -> JSONResponse:
        return JSONResponse({"detail": "not now"}, self.failing.pop(0), {"Retry-After": "0.05"})
