"""POST /api/feedback: what a user says about one prediction, checked, logged, and only then acknowledged.

Add a type of feedback here, with the value it needs. Keep out what feedback means for a rollout. Whether the
prediction exists is proven by its identifier; that it was logged, under which variant, the stored row says.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError, to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from inference.contract import BadBodyError, read_body
from inference.metrics import Metrics
from inference.prediction_id import seconds_of
from inference.record import Recorder
from inference.settings import ServingSettings

FeedbackType = Literal["rating", "accurate", "too_high", "too_low", "comment", "actual_price"]
MAX_TEXT = 2000
DAY = 86_400.0
FUTURE_SECONDS = DAY


def _blank_is_absent(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a number, not true or false")
    return _blank_is_absent(value)


class Feedback(BaseModel):
    """One feedback. A rating needs a `feedback_value` of 1 to 5 whole stars, an actual price one above 0; a
    comment needs a `feedback_text`; for accurate, too_high and too_low both are optional.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)

    prediction_id: str = Field(
        max_length=100, description="The `prediction_id` of an answer",
        json_schema_extra={"format": "uuid"}, examples=["0192d7c4-8d9a-7c3e-9a51-0d3a2d1f5c11"],
    )  # fmt: skip
    feedback_type: FeedbackType = Field(description="What is said", examples=["rating"])
    feedback_value: Annotated[float | None, BeforeValidator(_number)] = Field(
        default=None, validate_default=True, examples=[4],
        description="rating: 1 to 5 whole stars; actual_price: the price, above 0",
    )  # fmt: skip
    feedback_text: Annotated[str | None, BeforeValidator(_blank_is_absent)] = Field(
        default=None, max_length=MAX_TEXT, validate_default=True, description="What a comment says"
    )

    @field_validator("prediction_id")
    @classmethod
    def _is_uuid(cls, value: str) -> str:
        try:
            return str(uuid.UUID(value))
        except ValueError:
            raise PydanticCustomError("uuid_parsing", "Input should be the UUID of a prediction") from None

    @field_validator("feedback_value")
    @classmethod
    def _fits_type(cls, value: float | None, info: ValidationInfo) -> float | None:
        kind = info.data.get("feedback_type")
        if kind == "rating" and (value is None or value not in (1, 2, 3, 4, 5)):
            raise PydanticCustomError("rating_range", "A rating needs a value of 1, 2, 3, 4 or 5")
        if kind == "actual_price" and (value is None or value <= 0):
            raise PydanticCustomError("greater_than", "An actual price needs a value greater than 0")
        if kind == "comment" and value is not None:
            raise PydanticCustomError("unexpected_value", "A comment has a feedback_text and no value")
        return value

    @field_validator("feedback_text")
    @classmethod
    def _comment_has_text(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("feedback_type") == "comment":
            raise PydanticCustomError("missing", "A comment needs a text")
        return value


class DetectorFeedback(Feedback):
    """One feedback on a record's score, which has no true value. A rating needs a `feedback_value` of 1 to 5 whole
    stars, a comment a `feedback_text`; for accurate both are optional.
    """

    feedback_type: Literal["rating", "accurate", "comment"] = Field(description="What is said", examples=["rating"])
    feedback_value: Annotated[float | None, BeforeValidator(_number)] = Field(
        default=None, validate_default=True, examples=[4], description="rating: 1 to 5 whole stars"
    )


class Acknowledged(BaseModel):
    """The feedback is logged."""

    status: Literal["success"] = "success"
    message: str


class FeedbackTaker:
    """Takes feedback on one product's predictions, as `body` says it; without `recorder` it takes none."""

    def __init__(self, settings: ServingSettings, recorder: Recorder | None, metrics: Metrics) -> None:
        self.body: type[Feedback] = DetectorFeedback if settings.detects else Feedback
        self._days = settings.feedback_days
        self._product = settings.product
        self._recorder = recorder
        self._metrics = metrics

    async def take(self, request: Request) -> Response:
        """Answer one request. Raises HTTPException 404, 413, 415 or 503."""
        try:
            given = await read_body(request, self.body)
        except BadBodyError as error:
            return _json({"detail": error.detail}, error.status)
        recorder = self._recorder
        if recorder is None:
            raise HTTPException(503, "this service keeps no log of its predictions, so it can't take feedback")
        self._check(recorder, given.prediction_id)
        kind, value, text = given.feedback_type, given.feedback_value, given.feedback_text
        if not await asyncio.to_thread(recorder.feedback, given.prediction_id, kind, value, text):
            raise HTTPException(503, "the feedback can't be kept safely now; send it again", {"Retry-After": "5"})
        self._metrics.fed_back(kind)
        return _json(Acknowledged(message=f"feedback on prediction {given.prediction_id} is logged").model_dump())

    def _check(self, recorder: Recorder, identifier: str) -> None:
        if not recorder.ids.issued(identifier):
            raise HTTPException(404, f"no prediction of {self._product} has the id {identifier}")
        age = time.time() - seconds_of(identifier)
        if age > self._days * DAY:
            raise HTTPException(404, f"prediction {identifier} is older than the {self._days} days it is kept")
        if age < -FUTURE_SECONDS:
            hours = math.ceil(-age / 3600)
            raise HTTPException(404, f"prediction {identifier} would be of a time {hours} hours from now")


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(to_json(content), status, media_type="application/json")
