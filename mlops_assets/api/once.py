"""Idempotency keys over HTTP: how a POST route does its work once, however often the request is sent.

Keep out how answers are kept (`access.idempotency`) and what the work is.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mlops_assets.access.idempotency import KEY, Answer, KeyBusyError, Keyed, KeyReusedError, Work, once
from mlops_assets.access.roles import Caller
from mlops_assets.storage.database import Database

RETRY_SECONDS = 1
REPLAYED = "Idempotent-Replayed"

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same body answers the same and changes nothing, for 24 hours",
    ),
]


def do_once(
    database: Database, request: Request, caller: Caller, key: str | None, body: BaseModel | bytes | None, work: Work
) -> Response:
    """The answer of `work`, which is done in one transaction; the kept answer if the key came before.

    A body in bytes has one spelling for one order, with whatever of the order is in the query.

    What `work` raises undoes everything, is answered as ever and leaves the key free. See `access.idempotency.once`.

    Raises:
        HTTPException: 400 for a key that can't be kept, 422 if it came with another body, 409 while the first
            request with it is being worked on.
    """
    if key is None:
        with database.session() as session, session.begin():
            answer = work(session)
        return _response(answer)
    if not KEY.fullmatch(key):
        raise HTTPException(400, "Idempotency-Key: 1 to 200 printable ASCII characters without blanks")
    content = body.model_dump_json().encode() if isinstance(body, BaseModel) else body
    keyed = Keyed(caller.id, f"{request.method} {request.url.path}", key, content or b"")
    try:
        return _response(once(database, keyed, work))
    except KeyReusedError as error:
        raise HTTPException(422, f"Idempotency-Key: {error}") from error
    except KeyBusyError as error:
        raise HTTPException(409, f"Idempotency-Key: {error}", {"Retry-After": str(RETRY_SECONDS)}) from error


def _response(answer: Answer) -> Response:
    headers = dict(answer.headers) | ({REPLAYED: "true"} if answer.replayed else {})
    return Response(answer.body, answer.status, headers, media_type="application/json")
