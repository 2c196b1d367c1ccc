"""Signing in and out of the pages: POST the token, get a cookie; and who the session is of.

Keep out who may do what (`auth`), and signing in with a provider (`sign_in`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.auth import COOKIE, SESSION_SECONDS, Authority, Viewer, require_own_page
from mlops_assets.api.client_address import client_address
from mlops_assets.api.problems import answers


class SignIn(BaseModel):
    """The operators' token, or an issued one: the session may do what the token may."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(min_length=1, max_length=1024)]


class Who(BaseModel):
    """Who asks. `how` they proved it; `until` is when their session ends, None for a token."""

    name: str
    role: Role
    how: Kind
    until: datetime | None


def session_routes(secure: bool) -> APIRouter:
    """/session and /api/v1/session. `secure` cookies are sent over https only, however the request came."""
    router = APIRouter(tags=["session"])

    @router.post(
        "/session",
        status_code=204,
        dependencies=[Depends(require_own_page)],
        responses=answers(401, 403, 413, 415, 422, 429, 503),
    )
    def sign_in(request: Request, body: SignIn) -> Response:
        """Open a session of 12 hours; the cookie holds a signed value, never the token."""
        authority: Authority = request.app.state.authority
        response = Response(status_code=204)
        value = authority.sign_in(body.token.strip(), client_address(request))
        keep_session(response, value, secure or request.url.scheme == "https")
        return response

    @router.delete("/session", status_code=204, dependencies=[Viewer], responses=answers(401, 403, 415, 429))
    def sign_out() -> Response:
        """Forget the cookie in this browser."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response

    @router.get("/api/v1/session", responses=answers(401, 429, 503))
    def read_session(request: Request, caller: Annotated[Caller, Viewer]) -> Who:
        """Who the caller is, with which role, and until when."""
        authority: Authority = request.app.state.authority
        by_session = caller.kind in (Kind.SESSION, Kind.OIDC)
        session = authority.session(request.cookies.get(COOKIE, "")) if by_session else None
        until = datetime.fromtimestamp(session.expires, UTC) if session is not None else None
        return Who(name=caller.name, role=caller.role, how=caller.kind, until=until)

    return router


def keep_session(response: Response, value: str, secure: bool) -> None:
    """Give the browser a session. It sends it only for what this site's own pages ask."""
    response.set_cookie(
        COOKIE, value, max_age=SESSION_SECONDS, path="/", secure=secure, httponly=True, samesite="strict"
    )
