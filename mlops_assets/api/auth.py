"""Who may use the control API: who holds the operators' token or an issued one, or has a session.

A session is opened with a token, or by signing in with the OpenID Connect provider (`sign_in`).

Add here another way to prove who is asking. Keep out what each role may do (`access.roles`). The token never leaves
this file: a browser gets a signed value that expires, and a change by a session needs what another site's page
can't send.
"""

from __future__ import annotations

import hmac
import json
import math
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from mlops_assets.access.known import KnownTokens
from mlops_assets.access.rate_limit import RateLimit
from mlops_assets.access.roles import Caller, Kind, Role

COOKIE = "mlops_session"
SESSION = "session"
# No id of an issued token reads so.
OIDC = "oidc"
SESSION_SECONDS = 12 * 3600
SHORTEST_TOKEN = 16
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUESTED_WITH = "mlops"
# What no form of another site can send without asking first.
OWN_TYPES = ("application/json", "application/yaml")

FAILURES = 10
FAILURE_SECONDS = 60.0
MAX_ADDRESSES = 1000

NO_PROOF = "send the operators' token or one of `mlops token create`, or sign in at /sign-in"

_bearer = HTTPBearer(auto_error=False, description="The installation's operator token, or an issued one")
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


# Whoever holds the token of the installation's own file may do all.
FILE_CALLER = Caller("operator", "operator", Role.OPERATOR, Kind.FILE)
FILE_SESSION = Caller("operator", "operator", Role.OPERATOR, Kind.SESSION)


@dataclass(frozen=True)
class Session:
    """Whose session it is, and when it ends, in seconds since 1970."""

    caller: Caller
    expires: int


class Authority:
    """Knows the operators' token and the issued ones, opens sessions and checks them all.

    A new operators' token ends every session, a revoked one those that were opened with it. `provider` marks the
    OpenID Connect provider and the rules of who has which role there: sessions of another one have ended.
    """

    def __init__(
        self,
        token: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        issued: KnownTokens | None = None,
        provider: str | None = None,
    ) -> None:
        if len(token) < SHORTEST_TOKEN:
            raise TokenError(f"the operator token must have at least {SHORTEST_TOKEN} characters")
        self._token = token.encode()
        self._clock = clock
        self._issued = issued
        self._provider = provider
        self._attempts = FailedAttempts(monotonic)

    def caller(self, given: str) -> Caller | None:
        """Whose token it is, in a time that doesn't depend on how much of it is right; None for no valid one."""
        if hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._token):
            return FILE_CALLER
        return self._issued.caller(given) if self._issued is not None else None

    def sign_in(self, given: str, address: str) -> str:
        """A new session's value.

        Raises:
            HTTPException: 401 for a wrong token, 429 for any token after too many wrong ones.
        """
        self.require_patience(address)
        caller = self.caller(given)
        if caller is None:
            self.failed(address)
            raise HTTPException(401, "this is neither the operators' token nor one that is valid")
        return self._opened("" if caller.kind is Kind.FILE else caller.id)

    def require_patience(self, address: str) -> None:
        """Return if the address may try to sign in. Raises HTTPException 429 after too many that failed."""
        wait = self._attempts.wait_seconds(address)
        if wait > 0:
            raise HTTPException(
                429, f"too many failed sign-ins; try again in {wait:.0f} s", {"Retry-After": str(int(wait) + 1)}
            )

    def failed(self, address: str) -> None:
        """Somebody there failed to sign in."""
        self._attempts.add(address)

    def open_for(self, caller: Caller) -> str:
        """A new session's value for whom the provider has told about: id, name and role are inside."""
        known = {"id": caller.id, "name": caller.name, "role": caller.role, "by": self._provider}
        return self._opened(f"{OIDC}.{urlsafe_b64encode(json.dumps(known).encode()).decode()}")

    def _opened(self, by: str) -> str:
        content = f"{int(self._clock()) + SESSION_SECONDS}.{secrets.token_hex(16)}"
        return self.signed(SESSION, f"{content}.{by}" if by else content)

    def of_session(self, value: str) -> Caller | None:
        """Whose session it is; None if nobody opened it, it expired, or what it was opened with isn't valid now."""
        found = self.session(value)
        return found.caller if found is not None else None

    def session(self, value: str) -> Session | None:
        """The same with the moment at which it ends."""
        content = self.unsigned(SESSION, value)
        if content is None:
            return None
        expires, _, opened_with = content.partition(".")
        if not expires.isdigit() or int(expires) <= self._clock():
            return None
        caller = self._of_session(opened_with.partition(".")[2])
        return Session(caller, int(expires)) if caller is not None else None

    def _of_session(self, by: str) -> Caller | None:
        """Whoever a session says that it is of; `by` has been signed by us."""
        if not by:
            return FILE_SESSION
        way, _, known = by.partition(".")
        if way == OIDC:
            found = json.loads(urlsafe_b64decode(known))
            if self._provider is None or found["by"] != self._provider:
                return None
            return Caller(found["id"], found["name"], Role(found["role"]), Kind.OIDC)
        return self._issued.of_session(by) if self._issued is not None else None

    def signed(self, purpose: str, content: str) -> str:
        """Content that nobody can change or make up, for one purpose: `unsigned` gives it back."""
        return f"{content}.{self._mac(purpose, content)}"

    def unsigned(self, purpose: str, value: str) -> str | None:
        """What was signed for this purpose with this installation's token; None for what wasn't."""
        content, _, given = value.rpartition(".")
        right = self._mac(purpose, content).encode()
        return content if hmac.compare_digest(right, given.encode("utf-8", "surrogatepass")) else None

    def _mac(self, purpose: str, content: str) -> str:
        message = f"mlops {purpose}\0{content}".encode("utf-8", "surrogatepass")
        return hmac.new(self._token, message, sha256).hexdigest()


def identify(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    session: Annotated[str | None, Depends(_cookie)],
) -> Caller:
    """Who asks.

    Raises:
        HTTPException: 401 without proof; 403 or 415 for a change by a session that another site could have sent;
            429 for an issued token, or a session of anybody but the installation's own, that asks too often.
    """
    authority: Authority = request.app.state.authority
    caller = authority.caller(bearer.credentials) if bearer is not None else None
    if caller is None:
        caller = authority.of_session(session) if session is not None else None
        if caller is None:
            raise HTTPException(401, NO_PROOF, {"WWW-Authenticate": "Bearer"})
        if request.method not in SAFE_METHODS:
            require_own_page(request)
    # Whoever can read the installation's own file can stop it in simpler ways than by asking often.
    if caller.id != FILE_CALLER.id:
        _require_rate(request.app.state.rate_limit, caller)
    return caller


def _require_rate(limit: RateLimit, caller: Caller) -> None:
    wait = limit.wait_seconds(caller.id)
    if wait > 0:
        seconds = math.ceil(wait)
        raise HTTPException(
            429, f"{caller.name!r} asks too often; try again in {seconds} s", {"Retry-After": str(seconds)}
        )


def require(needed: Role) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that gives the caller to the route, or answers 403 if its role is too small."""

    async def allowed(caller: Annotated[Caller, Depends(identify)]) -> Caller:
        if not caller.role.allows(needed):
            raise HTTPException(403, f"this needs the role {needed}; {caller.name!r} has the role {caller.role}")
        return caller

    return allowed


def require_own_page(request: Request) -> None:
    """Return if a request that changes something can only come from our own page.

    Raises:
        HTTPException: 403 without the header that a foreign form can't set, 415 if the body is neither JSON nor YAML.
    """
    if request.headers.get("x-requested-with") != REQUESTED_WITH:
        raise HTTPException(403, f"a change by a session needs the header X-Requested-With: {REQUESTED_WITH}")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in OWN_TYPES:
        raise HTTPException(415, f"send {' or '.join(OWN_TYPES)}")


Viewer = Depends(require(Role.VIEWER))
Editor = Depends(require(Role.EDITOR))
Operator = Depends(require(Role.OPERATOR))
