"""The routes that read the prediction log: GET /api/metrics for everybody, /api/logs for who holds the token.

Add a view of the log here. Keep out its queries (`log_store`) and Prometheus (`metrics`). Every question to
the database runs in one of a few threads, so that no slow one holds up a prediction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from inference.access import require_token
from inference.log_store import LogStore, LogType, LogVariant
from inference.openapi import Problem
from inference.postgres import DatabaseError
from inference.served import Served
from inference.settings import ServingSettings

THREADS = 4
MAX_HOURS = 720
MAX_ROWS = 1000

Found = TypeVar("Found")
Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="Rows at most")]
Kind = Annotated[LogType, Query(description="Which log")]

log = logging.getLogger(__name__)


class PredictionSums(BaseModel):
    """Latencies in milliseconds, null when there was no prediction."""

    total_count: int
    avg_latency_ms: float | None
    p95_latency_ms: float | None
    p99_latency_ms: float | None
    min_latency_ms: float | None
    max_latency_ms: float | None


class FeedbackSums(BaseModel):
    """The newest feedback of each type on each prediction; `avg_rating` is of ratings alone, 1 to 5."""

    total_count: int
    avg_rating: float | None
    accurate_count: int
    too_high_count: int
    too_low_count: int


class Sums(BaseModel):
    """The last hours of one variant."""

    variant: LogVariant
    hours: int
    predictions: PredictionSums
    feedback: FeedbackSums


class Tail(BaseModel):
    """The newest rows, newest first."""

    model_config = ConfigDict(ser_json_inf_nan="null")

    logs: list[dict[str, Any]]
    count: int
    log_type: LogType
    timestamp: datetime


class Page(Tail):
    """One page; `next` is the `before` of the page after it, null when there is none."""

    next: UUID | None


def log_routes(settings: ServingSettings, served: Served) -> APIRouter:
    """The routes of one product."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    store = LogStore(url, settings.product)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="log")
    router = APIRouter(responses={503: {"model": Problem}})
    protected: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (401, 403)}

    async def asked(question: Callable[[], Found]) -> Found:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, question)
        except DatabaseError as error:
            log.warning("the prediction log can't be read: %s", error)
            detail = "the prediction log can't be read now; GET /api/health says more"
            raise HTTPException(503, detail, {"Retry-After": "5"}) from error

    async def allowed(authorization: Annotated[str | None, Header(include_in_schema=False)] = None) -> None:
        await asyncio.to_thread(require_token, settings.token_file, authorization)

    @router.get("/api/metrics", summary="Counts and latencies of the last hours")
    async def metrics(hours: Annotated[int, Query(ge=1, le=MAX_HOURS)] = 24, variant: LogVariant | None = None) -> Sums:
        chosen: Literal[LogVariant] = variant or served.label
        predictions, feedback = await asked(lambda: store.sums(hours, chosen))
        sums = {"predictions": predictions, "feedback": feedback}
        return Sums.model_validate({"variant": chosen, "hours": hours, **sums})

    @router.get(
        "/api/logs", summary="The log, newest first, page by page",
        dependencies=[Depends(allowed)], responses=protected,
    )  # fmt: skip
    async def logs(
        kind: Annotated[LogType, Query(alias="type")] = "predictions",
        limit: Limit = 100,
        before: Annotated[UUID | None, Query(description="Only rows before this id: the `next` of a page")] = None,
    ) -> Page:
        found = await asked(lambda: store.rows(kind, limit, None if before is None else str(before)))
        more = found[-1]["id"] if len(found) == limit else None
        return Page(logs=found, count=len(found), log_type=kind, timestamp=datetime.now(UTC), next=more)

    @router.get(
        "/api/logs/tail", summary="The newest rows of the log",
        dependencies=[Depends(allowed)], responses=protected,
    )  # fmt: skip
    async def tail(kind: Annotated[LogType, Query(alias="type")] = "predictions", limit: Limit = 100) -> Tail:
        found = await asked(lambda: store.rows(kind, limit))
        return Tail(logs=found, count=len(found), log_type=kind, timestamp=datetime.now(UTC))

    return router
