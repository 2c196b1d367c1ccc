"""What can go wrong between a script and the control API, as exceptions that a script can tell apart.

Add a class here when a script should be able to react to a kind of failure. Keep out what leads to it. No message
holds a token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from mlops_assets.api.pipelines.schemas import ProblemView

MAX_DETAIL = 4000
MAX_ERRORS = 100
MAX_ADDED = 10


class ClientError(RuntimeError):
    """Base of everything that the client raises. Itself: what was asked can't be sent."""


class DownloadError(ClientError):
    """A file could not be written, or is not what the platform has kept; nothing was left at its place."""


class RunTimeoutError(ClientError, TimeoutError):
    """The run hasn't ended in the time that was given for it; it goes on."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field: `stages.<stage>.<field>` or `<field>`."""

    field: str
    message: str


class ApiError(ClientError):
    """The API refused. `status` is the HTTP status, 0 if nothing answered; `errors` are the fields at fault, if any."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        retry_after: float | None = None,
    ) -> None:
        self.status, self.title, self.detail, self.errors = status, title, detail, tuple(errors)
        self.retry_after = retry_after
        # A detail often holds the messages already.
        missing = [f"{e.field}: {e.message}" if e.field else e.message for e in errors if e.message not in detail]
        more = [f"and {len(missing) - MAX_ADDED} more"] if len(missing) > MAX_ADDED else []
        super().__init__("; ".join([detail or title, *missing[:MAX_ADDED], *more]))

    @property
    def problems(self) -> list[ProblemView]:
        """The fields at fault with the stage that each is in."""
        return [_problem(error) for error in self.errors]


class AuthError(ApiError):
    """401: no valid token. 403: its role may not do this."""


class NotFoundError(ApiError):
    """404: there is no such pipeline, run, stage, artifact or template."""


class ConflictError(ApiError):
    """409: the name is taken, or the state of the thing doesn't allow it."""


class PreconditionError(ApiError):
    """412, 428: it was changed since the revision that the change was made from."""


class ValidationError(ApiError):
    """400, 413, 415, 422: what was sent is refused; `problems` says which fields of which stages are at fault."""


class UnavailableError(ApiError):
    """Nothing answered in time, or the API asks to come back later (429, 502, 503, 504): `retry_after` s, if told."""


_KINDS: dict[int, type[ApiError]] = {
    **dict.fromkeys((400, 413, 415, 422), ValidationError),
    **dict.fromkeys((401, 403), AuthError),
    404: NotFoundError,
    409: ConflictError,
    **dict.fromkeys((412, 428), PreconditionError),
    **dict.fromkeys((429, 502, 503, 504), UnavailableError),
}


def error_of(response: httpx.Response) -> ApiError:
    """The error that an answer tells of, whose body is read: a problem (RFC 9457), or what a proxy between sends."""
    body = _body(response)
    title = str(body.get("title") or _phrase(response.status_code))
    detail = str(body.get("detail") or f"{title} ({response.status_code})")[:MAX_DETAIL]
    kind = _KINDS.get(response.status_code, ApiError)
    return kind(response.status_code, title, detail, list(_fields(body.get("errors"))), retry_after(response))


def unanswered(url: httpx.URL, error: httpx.HTTPError) -> UnavailableError:
    """The error for a request that got no answer, or only a part of one."""
    where = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
    cause = "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or type(error).__name__
    return UnavailableError(0, "No answer", f"the control API doesn't answer at {where}: {cause}")


def retry_after(response: httpx.Response) -> float | None:
    """How many seconds the answer asks to wait; None if it doesn't say."""
    told = response.headers.get("retry-after", "").strip()
    if told.isdigit() and len(told) < 10:
        return float(told)
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _fields(errors: Any) -> Iterator[FieldError]:
    for error in errors[:MAX_ERRORS] if isinstance(errors, list) else []:
        if isinstance(error, dict):
            yield FieldError(str(error.get("field", "")), str(error.get("message", "")))


def _problem(error: FieldError) -> ProblemView:
    inside = error.field.removeprefix("stages.")
    if inside == error.field:
        return ProblemView(stage=None, field=error.field, message=error.message)
    stage, _, field = inside.partition(".")
    return ProblemView(stage=stage, field=field, message=error.message)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
