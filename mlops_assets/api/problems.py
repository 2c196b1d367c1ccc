"""Every error as `application/problem+json` (RFC 9457), in one mapping.

Add a kind of failure here when callers should be able to tell it from the others. Keep out where failures come
from. What is unexpected is logged under an id, and the caller gets that id and nothing else about it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
MAX_ERRORS = 20
# A pipeline is refused for all its faults at once.
MAX_PIPELINE_ERRORS = 100

log = logging.getLogger(__name__)


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a request was not answered; `errors` only where single fields are at fault."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


# What a route may answer besides its own model, for the OpenAPI document.
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {}}}
    for status in (400, 401, 403, 404, 409, 412, 413, 415, 422, 428, 429, 503)
}


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for its `responses`."""
    return {status: ANSWERS[status] for status in statuses}


def problem(
    status: int, detail: str, errors: Sequence[FieldError] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """A problem as a response."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=list(errors or []) or None)
    return JSONResponse(body.model_dump(exclude_none=True), status, headers, media_type=MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Map what routes raise to problems. A decision that isn't possible is 409, a database that is down 503."""
    from sqlalchemy.exc import InterfaceError, OperationalError
    from sqlalchemy.exc import TimeoutError as NoConnectionError

    from mlops_assets.pipelines.problem import ProblemError
    from mlops_assets.pipelines.store import StoreError
    from mlops_assets.rollout.ledger import LedgerError

    for error in (OperationalError, InterfaceError, NoConnectionError):
        app.add_exception_handler(error, _database_down)
    app.add_exception_handler(LedgerError, _not_possible)
    app.add_exception_handler(StoreError, _not_stored)
    app.add_exception_handler(ProblemError, _pipeline_refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _fault)


async def _database_down(request: Request, error: Exception) -> Response:
    # The driver's own message may hold the statement and the address.
    log.warning("%s %s: the database doesn't answer (%s)", request.method, request.url.path, type(error).__name__)
    return problem(503, "the database doesn't answer; try again", headers={"Retry-After": str(RETRY_SECONDS)})


async def _not_possible(_: Request, error: Exception) -> Response:
    return problem(409, str(error))


async def _not_stored(_: Request, error: Exception) -> Response:
    from mlops_assets.pipelines.store import ChangedError, UnknownPipelineError

    if isinstance(error, ChangedError):
        return problem(412, str(error), headers={"ETag": f'"{error.revision}"'})
    return problem(404 if isinstance(error, UnknownPipelineError) else 409, str(error))


async def _pipeline_refused(_: Request, error: Exception) -> Response:
    from mlops_assets.pipelines.problem import ProblemError

    assert isinstance(error, ProblemError)
    found = [
        FieldError(field=".".join(filter(None, (f"stages.{p.stage}" if p.stage else "", p.field))), message=p.message)
        for p in error.problems[:MAX_PIPELINE_ERRORS]
    ]
    words = [str(one) for one in error.problems[:MAX_ERRORS]]
    more = len(error.problems) - len(words)
    return problem(422, "; ".join([*words, f"and {more} more"] if more else words), found)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_MODIFIED:  # which has no body
        return Response(status_code=error.status_code, headers=error.headers)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [_field_error(entry) for entry in error.errors()[:MAX_ERRORS]]
    words = "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in found)
    return problem(422, words, found)


def _field_error(entry: Mapping[str, Any]) -> FieldError:
    place = [str(part) for part in entry["loc"]]
    if entry["type"] == "json_invalid":
        return FieldError(field="", message="the body is not valid JSON")
    names = place[1:] if place and place[0] in ("body", "query", "path", "header", "cookie") else place
    return FieldError(field=".".join(names), message=str(entry["msg"]).removeprefix("Value error, "))


async def _fault(request: Request, error: Exception) -> Response:
    fault = uuid4().hex
    log.error("fault %s on %s %s", fault, request.method, request.url.path, exc_info=error)
    return problem(500, f"internal fault {fault}; the log has more")
