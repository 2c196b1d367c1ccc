"""Requests to the control API: the token, time limits, and what is tried again.

Add here what holds for every request. Keep out which requests there are (`pipelines`, `runs`, `artifacts`). Only
requests that change nothing, or that carry an Idempotency-Key, are ever sent a second time.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
import pydantic

from mlops_assets.client.errors import ApiError, ClientError, UnavailableError, error_of, unanswered

SAFE = frozenset({"GET", "HEAD"})
CONFLICT = 409
FIRST_PAUSE = 0.2
# Whoever is asked to wait for longer is told so instead.
LONGEST_PAUSE = 30.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,1000}")

Model = TypeVar("Model", bound=pydantic.BaseModel)
Params = Mapping[str, Any]


@dataclass(frozen=True)
class Patience:
    """Seconds that a connection and each piece of an answer may take, and how often a request is sent at most."""

    connect: float = 5.0
    read: float = 30.0
    tries: int = 4


class Clock:
    """Time as the client sees it; a test has its own."""

    def now(self) -> float:
        """Seconds that only ever grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Sent:
    """One request. `content` has the `media_type`; with a `key` it may be sent again."""

    method: str
    path: str
    params: Params = field(default_factory=dict)
    content: bytes | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None

    @property
    def repeatable(self) -> bool:
        """Whether a second time can't do more than the first."""
        return self.method in SAFE or self.key is not None

    def all_headers(self) -> dict[str, str]:
        """Its headers as they are sent."""
        typed = {"Content-Type": self.media_type} if self.content is not None else {}
        return {**typed, **self.headers, **({"Idempotency-Key": self.key} if self.key is not None else {})}


class Connection:
    """The control API at one address, as one caller. Opens nothing until it is used."""

    def __init__(
        self, url: str, token: str, patience: Patience, clock: Clock, transport: httpx.BaseTransport | None
    ) -> None:
        if not re.match(r"https?://[^/?#\s]", url):
            raise ClientError(f"{url[:200]!r} is no address: it begins with http:// or https://")
        if not _TOKEN.fullmatch(token):
            raise ClientError("the token is empty or holds blanks or other characters that no token has")
        self.clock = clock
        self._patience = patience
        # The environment's proxies and .netrc could send the token elsewhere or replace it.
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1",
            headers={"Authorization": f"Bearer {token}", "User-Agent": "mlops-client"},
            timeout=httpx.Timeout(patience.read, connect=patience.connect),
            transport=transport,
            trust_env=False,
        )

    @property
    def url(self) -> str:
        """Where the API's routes begin."""
        return str(self._http.base_url)

    def close(self) -> None:
        """Close what was opened."""
        self._http.close()

    def get(self, model: type[Model], path: str, params: Params | None = None) -> Model:
        """What is there, as its model. Raises ApiError."""
        return read(model, self.request(Sent("GET", path, params or {})))

    def request(self, sent: Sent) -> httpx.Response:
        """The answer, which is none of an error. Raises ApiError, the one of the last try."""
        for attempt in range(1, self._patience.tries + 1):
            try:
                return self._once(sent)
            except ApiError as error:
                if attempt == self._patience.tries or not sent.repeatable or not _passes(error):
                    raise
                pause = _pause(error, attempt)
                if pause > LONGEST_PAUSE:
                    raise
                self.clock.sleep(pause)
        raise AssertionError("a request is sent at least once")

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """An answer whose body is read piece by piece. UnavailableError: also when it breaks off."""
        request = self._http.build_request("GET", path, headers=dict(headers or {}))
        try:
            response = self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    response.read()
                    raise error_of(response)
                yield response
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise unanswered(request.url, error) from None

    def _once(self, sent: Sent) -> httpx.Response:
        request = self._http.build_request(
            sent.method, sent.path, params=dict(sent.params), content=sent.content, headers=sent.all_headers()
        )
        try:
            response = self._http.send(request)
        except httpx.HTTPError as error:
            raise unanswered(request.url, error) from None
        if not response.is_success:
            raise error_of(response)
        return response


def _passes(error: ApiError) -> bool:
    """Whether it can be over in a moment. A key that is still being worked on is a conflict that says when."""
    return isinstance(error, UnavailableError) or (error.status == CONFLICT and error.retry_after is not None)


def _pause(error: ApiError, attempt: int) -> float:
    """Seconds before the next try: what was asked for, else twice the one before, spread so that callers part."""
    if error.retry_after is not None:
        return error.retry_after
    return FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)


def read(model: type[Model], response: httpx.Response) -> Model:
    """The answer as its model. ApiError: it is something else."""
    return parsed(
        model, response.content, f"{response.request.method} {response.request.url.path}", response.status_code
    )


def parsed(model: type[Model], content: bytes | str, asked: str, status: int = 200) -> Model:
    """JSON as its model. ApiError: it isn't that; `asked` is in the message."""
    try:
        return model.model_validate_json(content)
    except pydantic.ValidationError:
        raise ApiError(status, "Unexpected answer", f"what {asked} answers is no {model.__name__}") from None


def as_json(value: Any, what: str) -> bytes:
    """A value as JSON. ClientError names `what` isn't."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ClientError(f"{what} can't be written as JSON: {error}") from None


def given(**parameters: Any) -> dict[str, Any]:
    """The parameters that have a value."""
    return {name: value for name, value in parameters.items() if value is not None}


def fresh_key() -> str:
    """An Idempotency-Key that nobody has used."""
    return uuid4().hex


def path(*parts: str) -> str:
    """A path from names and ids, which stay one part each, whatever they hold. ClientError: one is empty."""
    return "/".join(_part(part) for part in parts)


def _part(text: str) -> str:
    if not text:
        raise ClientError("a name or an id is empty")
    try:
        quoted = quote(text, safe="")
    except UnicodeEncodeError:
        raise ClientError(f"{text!r:.80} is no text that can be sent") from None
    # Dots alone would be taken for a step up before anything is sent.
    return quoted if text.strip(".") else quoted.replace(".", "%2E")
