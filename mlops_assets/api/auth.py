"""Who may use the control API: whoever holds the operators' token, or a session that was opened with it.

Add here another way to prove who is asking. Keep out what a caller may then do. The token never leaves this
file: a browser gets a signed value that expires, and a change by a session needs what another site's page
can't send.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

COOKIE = "mlops_session"
SESSION_SECONDS = 12 * 3600
SHORTEST_TOKEN = 16
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUESTED_WITH = "mlops"

FAILURES = 10
FAILURE_SECONDS = 60.0
MAX_ADDRESSES = 1000

_bearer = HTTPBearer(auto_error=False, description="The installation's operator token")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="Set by POST /session")


class TokenError(RuntimeError):
    """The token file can't be used; the message names it and the cause, and nothing of its content."""


def read_token(path: Path) -> str:
    """The operators' token. Raises TokenError."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise TokenError(f"token file {path}: {cause}") from None
    if len(token) < SHORTEST_TOKEN:
        raise TokenError(f"token file {path}: it must hold at least {SHORTEST_TOKEN} characters")
    return token


class FailedAttempts:
    """Counts failed sign-ins of each address; after `FAILURES` in a minute it has to wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """How long until the address may try again; 0 when it may now."""
        times = self._times.get(address)
        if times is None or len(times) < FAILURES:
            return 0.0
        return max(0.0, times[0] + FAILURE_SECONDS - self._clock())

    def add(self, address: str) -> None:
        """One more failure."""
        times = self._times.setdefault(address, deque(maxlen=FAILURES))
        times.append(self._clock())
        self._times.move_to_end(address)
        while len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)


class Authority:
    """Knows the token, opens sessions and checks both. A new token ends every session."""

    def __init__(
        self,
        token: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if len(token) < SHORTEST_TOKEN:
            raise TokenError(f"the operator token must have at least {SHORTEST_TOKEN} characters")
        self._token = token.encode()
        self._clock = clock
        self._attempts = FailedAttempts(monotonic)

    def is_token(self, given: str) -> bool:
        """Whether it is the token, in a time that doesn't depend on how much of it is right."""
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token)

    def sign_in(self, given: str, address: str) -> str:
        """A new session's value.

        Raises:
            HTTPException: 401 for a wrong token, 429 for any token after too many wrong ones.
        """
        wait = self._attempts.wait_seconds(address)
        if wait > 0:
            raise HTTPException(
                429, f"too many wrong tokens; try again in {wait:.0f} s", {"Retry-After": str(int(wait) + 1)}
            )
        if not self.is_token(given):
            self._attempts.add(address)
            raise HTTPException(401, "this is not the operators' token")
        return self._signed(f"{int(self._clock()) + SESSION_SECONDS}.{secrets.token_hex(16)}")

    def is_session(self, value: str) -> bool:
        """Whether `sign_in` gave this value and it hasn't expired."""
        content, _, _ = value.rpartition(".")
        if not hmac.compare_digest(self._signed(content).encode(), value.encode("utf-8", "surrogatepass")):
            return False
        expires = content.partition(".")[0]
        return expires.isdigit() and int(expires) > self._clock()

    def _signed(self, content: str) -> str:
        message = b"mlops session\0" + content.encode("utf-8", "surrogatepass")
        return f"{content}.{hmac.new(self._token, message, sha256).hexdigest()}"


def require_operator(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    session: Annotated[str | None, Depends(_cookie)],
) -> None:
    """Return if the caller is an operator.

    Raises:
        HTTPException: 401 without proof; 403 or 415 for a change by a session that another site could have sent.
    """
    authority: Authority = request.app.state.authority
    if bearer is not None and authority.is_token(bearer.credentials):
        return
    if session is None or not authority.is_session(session):
        raise HTTPException(401, "send the operators' token, or sign in at /rollouts", {"WWW-Authenticate": "Bearer"})
    if request.method not in SAFE_METHODS:
        require_own_page(request)


def require_own_page(request: Request) -> None:
    """Return if a request that changes something can only come from our own page.

    Raises:
        HTTPException: 403 without the header that a foreign form can't set, 415 if the body isn't JSON.
    """
    if request.headers.get("x-requested-with") != REQUESTED_WITH:
        raise HTTPException(403, f"a change by a session needs the header X-Requested-With: {REQUESTED_WITH}")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "send application/json")


Operator = Depends(require_operator)
