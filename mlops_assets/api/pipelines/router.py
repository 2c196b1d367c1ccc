"""What every route of declared pipelines has in common: below which path it is, who may ask, and what is down.

Add here what holds for several route files. Keep out routes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from mlops_assets.api.auth import Viewer
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.api.problems import RETRY_SECONDS, answers

log = logging.getLogger(__name__)


def new_router(tag: str, prefix: str = "", *, asks_dagster: Parts | None = None) -> APIRouter:
    """A router below /api/v1 that whoever may read may ask.

    With `asks_dagster`, every request fails at once if the platform's own tables can't be read: 503. Dagster's storage,
    in the same database, would be asked for ten seconds.
    """
    first = [] if asks_dagster is None else [_database_answers(asks_dagster)]
    return APIRouter(
        prefix=f"/api/v1{prefix}",
        tags=[tag],
        dependencies=[Viewer, *first],
        responses=answers(401, 429, 503),
        route_class=AskingRoute,
    )


def _database_answers(parts: Parts) -> Any:
    def answers() -> None:
        parts.database.check()

    return Depends(answers)


class AskingRoute(APIRoute):
    """A route that may ask Dagster's storage; one that doesn't answer is 503, like the platform's own tables."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()

        async def asking(request: Request) -> Response:
            try:
                answer: Response = await handler(request)
            except Exception as error:
                # Dagster's own error for a database that it couldn't reach in several tries.
                if type(error).__name__ != "DagsterPostgresException":
                    raise
                log.warning("%s %s: Dagster's storage doesn't answer", request.method, request.url.path)
                raise HTTPException(
                    503, "Dagster's storage doesn't answer; try again", {"Retry-After": str(RETRY_SECONDS)}
                ) from error
            return answer

        return asking
