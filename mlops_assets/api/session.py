"""Signing in and out of the pages: POST the token, get a cookie.

Keep out who may do what (`auth`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.api.auth import COOKIE, SESSION_SECONDS, Authority, Viewer, require_own_page
from mlops_assets.api.problems import answers

router = APIRouter(tags=["session"])


class SignIn(BaseModel):
    """The operators' token, or an issued one: the session may do what the token may."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(min_length=1, max_length=1024)]


@router.post(
    "/session",
    status_code=204,
    dependencies=[Depends(require_own_page)],
    responses=answers(401, 403, 413, 415, 422, 429, 503),
)
def sign_in(request: Request, body: SignIn) -> Response:
    """Open a session of 12 hours; the cookie holds a signed value, never the token."""
    authority: Authority = request.app.state.authority
    address = request.client.host if request.client else ""
    value = authority.sign_in(body.token.strip(), address)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        value,
        max_age=SESSION_SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.delete("/session", status_code=204, dependencies=[Viewer], responses=answers(401, 403, 415, 429))
def sign_out() -> Response:
    """Forget the cookie in this browser."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response
