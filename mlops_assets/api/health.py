"""GET /api/v1/health: whether this API can do its work, really asked.

Add a part here when the API can't work without it.
"""

from __future__ import annotations

from time import perf_counter
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from mlops_assets.api import records
from mlops_assets.api.problems import answers
from mlops_assets.storage.database import Database


class Health(BaseModel):
    """The database answered, in so many milliseconds. If it doesn't, the answer is a problem with status 503."""

    status: Literal["ok"] = "ok"
    database_ms: float


def health_routes(database: Database) -> APIRouter:
    """The one route that everybody may ask."""
    router = APIRouter(prefix="/api/v1", tags=["health"])

    @router.get("/health", responses=answers(503))
    def health() -> Health:
        """Ask the database for something and say how long it took."""
        began = perf_counter()
        records.check(database)
        return Health(database_ms=round((perf_counter() - began) * 1e3, 2))

    return router
