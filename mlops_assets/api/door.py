"""/api/v1/door: what the gateway asks about every request to Dagster and MLflow before it lets it in.

It answers 200 and who is asking, or why not: as a problem, or to a browser that opens a page by sending it to the
sign-in. Changes are noted in the audit before they are let in. Only the gateway is answered, by a token that it alone
sends: for others there is nothing here. Keep out what Dagster and MLflow take for a change (`access.dagster_rules`,
`access.mlflow_rules`).
"""

from __future__ import annotations

import hmac
import logging
import math
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import anyio
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mlops_assets.access import audit, mlflow_rules
from mlops_assets.access.audit import Act, Outcome
from mlops_assets.access.dagster_rules import Asked, UnreadableError, asked
from mlops_assets.access.rate_limit import RateLimit
from mlops_assets.access.roles import Caller, Role
from mlops_assets.api.auth import COOKIE, FILE_CALLER, NO_PROOF, SAFE_METHODS, Authority
from mlops_assets.rollout.envoy.door import DOOR_HEADER, SIGN_IN_PATH, UPGRADE_HEADER
from mlops_assets.settings import ROLE_HEADER, WHO_HEADER, Settings
from mlops_assets.storage.database import Database

SIGN_IN_PAGE = "/sign-in"
DAGSTER, MLFLOW = "/dagster/", "/mlflow/"
GRAPHQL = "/dagster/graphql"
# Of a name, what every server understands in a header.
PLAIN = " @._+:-"
# Checks at once. Threads of their own: requests to the control API that take long must not keep people out.
CHECKS = 8
# A page of Dagster or MLflow is a hundred files.
PER_PAGE = 4


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What a request wants: the role that it needs, and what is noted of it if it may change something."""

    needs: Role = Role.VIEWER
    action: str | None = None
    object: str = ""
    operation: str | None = None


def add_door(app: FastAPI, settings: Settings, database: Database) -> None:
    """The door's questions, before all other routes: they are asked most. Not before an installation's first start."""
    token = settings.inner_token
    if token is not None:
        app.router.routes.insert(0, Route(SIGN_IN_PATH + "/{path:path}", Door(app, settings, database, token)))


class Door:
    """Decides on requests to Dagster and MLflow by their method, path and headers, and by what GraphQL they hold."""

    def __init__(self, app: FastAPI, settings: Settings, database: Database, inner_token: str) -> None:
        self._app = app
        self._database = database
        self._token = inner_token.encode()
        self._public = _netloc(str(settings.public_api_url)) if settings.public_api_url else None
        self._rate = RateLimit(settings.api_requests_per_second * PER_PAGE, settings.api_burst * PER_PAGE)
        self._checks = anyio.CapacityLimiter(CHECKS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        shown = request.headers.get(DOOR_HEADER, "").encode("latin-1", "replace")
        if not hmac.compare_digest(shown, self._token):
            raise HTTPException(404, "not found")
        path = request.scope["path"].removeprefix(SIGN_IN_PATH)
        caller, by_session = await anyio.to_thread.run_sync(self._who, request, limiter=self._checks)
        if caller is None:
            return _nobody(request)
        self._require_rate(caller)
        if by_session:
            self._require_own_page(request)
        wish = await self._wish(request, path)
        await self._require_role(request, caller, wish)
        return Response(headers={WHO_HEADER: quote(caller.name, safe=PLAIN), ROLE_HEADER: caller.role})

    def _who(self, request: Request) -> tuple[Caller | None, bool]:
        """Who asks, and whether that is known by a cookie, which a browser sends by itself."""
        authority: Authority = self._app.state.authority
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            caller = authority.caller(token.strip())
            if caller is not None:
                return caller, False
        session = request.cookies.get(COOKIE)
        return (authority.of_session(session) if session else None), True

    def _require_rate(self, caller: Caller) -> None:
        if caller.id == FILE_CALLER.id:
            return
        wait = self._rate.wait_seconds(caller.id)
        if wait > 0:
            seconds = math.ceil(wait)
            detail = f"{caller.name!r} asks too often; try again in {seconds} s"
            raise HTTPException(429, detail, {"Retry-After": str(seconds)})

    def _require_own_page(self, request: Request) -> None:
        """Return if the request can't come from another site's page. Raises HTTPException: 403."""
        origin = request.headers.get("origin")
        if origin is None:
            if request.method in SAFE_METHODS and not request.headers.get(UPGRADE_HEADER):
                return
        else:
            from_where = _netloc(origin)
            if from_where is not None and from_where in (_netloc(f"//{request.headers.get('host', '')}"), self._public):
                return
        raise HTTPException(
            403, "with a session, only pages of this address may ask for this; a token may from anywhere"
        )

    async def _require_role(self, request: Request, caller: Caller, wish: Wish) -> None:
        allowed = caller.role.allows(wish.needs)
        if wish.action is not None:
            details = {"operation": wish.operation} if wish.operation else {}
            outcome = Outcome.PASSED if allowed else Outcome.REFUSED
            act = Act(caller, wish.action, wish.object, outcome, request.state.request_id, details)
            try:
                await anyio.to_thread.run_sync(audit.record, self._database, act, limiter=self._checks)
            except SQLAlchemyError as error:
                log.warning(
                    "%s by %r isn't let in: it can't be noted (%s)", act.action, caller.name, type(error).__name__
                )
                raise HTTPException(503, "the change can't be noted, so it isn't let in; try again") from None
        if not allowed:
            raise HTTPException(403, f"this needs the role {wish.needs}; {caller.name!r} has the role {caller.role}")

    async def _wish(self, request: Request, path: str) -> Wish:
        """What a request wants. Raises HTTPException if it is of a kind that isn't let in."""
        if path.startswith(MLFLOW):
            return _wish_of_mlflow(request.method, path.removeprefix(MLFLOW.rstrip("/")))
        if not path.startswith(DAGSTER):
            raise HTTPException(404, "not found")
        if path == GRAPHQL:
            body = await _graphql(request)
            if body is None:
                return Wish()
            try:
                return _wish_of_dagster(await anyio.to_thread.run_sync(asked, body, limiter=self._checks))
            except UnreadableError as error:
                raise HTTPException(400, str(error)) from None
        if request.method in SAFE_METHODS:
            return Wish()
        return Wish(Role.OPERATOR, "dagster.change", f"{request.method} {path.removeprefix(DAGSTER.rstrip('/'))}")


def _wish_of_mlflow(method: str, path: str) -> Wish:
    if mlflow_rules.forbidden(path):
        raise HTTPException(403, "MLflow's assistant runs programs on the server; it can't be used from here")
    if mlflow_rules.only_reads(method, path):
        return Wish()
    noted = "mlflow.change" if mlflow_rules.changes(method, path) else None
    return Wish(Role.OPERATOR, noted, f"{method} {path}")


def _wish_of_dagster(found: Asked) -> Wish:
    if not found.mutations:
        return Wish()
    needs = Role.VIEWER if found.for_everybody else Role.OPERATOR
    return Wish(needs, "dagster.change", ", ".join(found.mutations), found.operation)


async def _graphql(request: Request) -> bytes | None:
    """The body of a question to GraphQL; None if the request only opens its page or a websocket.

    Raises:
        HTTPException: 405 or 415, Dagster could find a question in it elsewhere than we look for it.
    """
    if request.method in SAFE_METHODS and not request.url.query:
        return None
    if request.method != "POST":
        # A link from anywhere would be enough for a mutation.
        raise HTTPException(405, "send GraphQL with POST", {"Allow": "POST"})
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send GraphQL as application/json")
    return await request.body()


def _nobody(request: Request) -> Response:
    """To the sign-in, if a browser opens a page. Raises HTTPException else: 401."""
    mode = request.headers.get("sec-fetch-mode", "navigate")
    if request.method == "GET" and mode == "navigate" and "text/html" in request.headers.get("accept", ""):
        raw = request.scope["raw_path"].decode("latin-1").partition("?")[0].removeprefix(SIGN_IN_PATH)
        query = request.url.query
        wanted = f"{raw}?{query}" if query else raw
        return RedirectResponse(f"{SIGN_IN_PAGE}?next={quote(wanted, safe='/')}", 302)
    raise HTTPException(401, NO_PROOF, {"WWW-Authenticate": "Bearer"})


def _netloc(origin: str) -> str | None:
    """Host and port of an address, in small letters, without the ports that need not be said; None for no address."""
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username is not None:
        return None
    return f"{host}:{port}" if port not in (None, 80, 443) else host
