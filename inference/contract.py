"""Reads request bodies against the product's schema: JSON and forms in, validated records or errors out.

Add here a content type or a rule that holds for every product's requests. Keep out what one product allows
(its `Request` says it) and what happens with a valid record (`predict`). Errors have FastAPI's shape.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, create_model
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
MAX_FIELDS = 100
MAX_ERRORS = 50

Body = TypeVar("Body", bound=BaseModel)


class BadBodyError(ValueError):
    """A body that breaks the contract: HTTP status 400 or 422 and the `detail` to answer."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail


class Contract:
    """The bodies that one product accepts, one record or at most `batch_limit` in a list that is called `batch_key`."""

    def __init__(self, request: type[BaseModel], batch_limit: int, batch_key: str) -> None:
        self.request = request
        record: Any = Annotated[request, WrapValidator(_record_or_error)]
        self.batch: type[BaseModel] = create_model(
            "Batch",
            __config__=ConfigDict(extra="forbid"),
            rows=(list[record], Field(alias=batch_key, min_length=1, max_length=batch_limit)),
        )

    async def read(self, request: Request) -> BaseModel:
        """One validated record of a JSON or form body. Raises BadBodyError, HTTPException 413 or 415."""
        return await read_body(request, self.request)

    async def read_batch_body(self, request: Request) -> bytes:
        """The bytes of a batch; JSON only, so HTTPException 415 for anything else."""
        if content_type(request) != JSON:
            raise HTTPException(415, f"send {JSON}")
        return await request.body()

    def parse_batch(self, body: bytes) -> list[BaseModel | ValidationError]:
        """The records of {<batch_key>: […]} in order, each validated or with its own error."""
        try:
            batch: Any = self.batch.model_validate_json(body)
        except ValidationError as error:
            raise bad_body(error) from error
        rows: list[BaseModel | ValidationError] = batch.rows
        return rows


async def read_body(request: Request, body: type[Body]) -> Body:
    """A JSON or form body as a `body`. Raises BadBodyError, HTTPException 413 or 415."""
    kind = content_type(request)
    try:
        if kind == JSON:
            return body.model_validate_json(await request.body())
        if kind in FORMS:
            return body.model_validate(await _form(request))
    except ValidationError as error:
        raise bad_body(error) from error
    raise HTTPException(415, f"send {JSON}, {FORMS[0]} or {FORMS[1]}")


def _record_or_error(value: Any, handler: Any) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        return error


def content_type(request: Request) -> str:
    """The media type of the body in lower case, without its parameters; "" if none is given."""
    given = request.headers.get("content-type", "")
    return given if given == JSON else given.partition(";")[0].strip().lower()


def bad_body(error: ValidationError) -> BadBodyError:
    """400 for a body that isn't JSON, else 422 with one entry a field."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return BadBodyError(400, f"the body is not valid JSON: {problems[0]['msg']}")
    entries = [{"loc": ["body", *p["loc"]], "msg": p["msg"], "type": p["type"]} for p in problems[:MAX_ERRORS]]
    return BadBodyError(422, entries)


def field_error(error: ValidationError) -> dict[str, str]:
    """The first problem of a batch row: its field ("" for the row as a whole) and what is wrong."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return {"field": ".".join(str(part) for part in first["loc"]), "message": first["msg"]}


async def _form(request: Request) -> dict[str, str]:
    try:
        async with request.form(max_files=0, max_fields=MAX_FIELDS) as form:
            pairs = form.multi_items()
    except MultiPartException as error:
        raise BadBodyError(400, f"the form can't be read: {error.message}") from error
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            entry = {"loc": ["body", name], "msg": "Field given more than once", "type": "multiple_values"}
            raise BadBodyError(422, [entry])
        fields[name] = str(value)
    return fields
