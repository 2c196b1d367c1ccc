"""/sign-in: the page where people sign in, with a token or with the OpenID Connect provider if there is one.

Add here another way in for people. Keep out how a provider is talked to (`oidc`), what its words are worth
(`access.provider`) and what a session is (`auth`). Browsers keep the session's cookie from whoever comes from another
site, as people do who come back from the provider: they are sent on by a page of ours, not by a redirect.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
from fastapi import APIRouter, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mlops_assets.access import audit
from mlops_assets.access.provider import RoleRules, caller_of
from mlops_assets.access.roles import AccessError, Caller
from mlops_assets.api.audit import act_of
from mlops_assets.api.auth import Authority
from mlops_assets.api.client_address import client_address
from mlops_assets.api.id_token import ProviderError, RefusedError
from mlops_assets.api.next_page import FIRST_PAGE, next_page
from mlops_assets.api.oidc import Begun, Provider, Registration
from mlops_assets.api.pages import ProviderLink, html_of
from mlops_assets.api.session import keep_session
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

CALLBACK = "/sign-in/callback"
COOKIE = "mlops_sign_in"
PURPOSE = "sign-in"
BEGUN_SECONDS = 600

NOT_BEGUN = "This sign-in wasn't begun in this browser, or more than 10 minutes ago. Please begin again."
NOT_AGREED = "You didn't agree to sign in there."

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Way:
    """A provider to sign in with: how to talk to it, who has which role, and our own address as browsers see it."""

    provider: Provider
    rules: RoleRules
    public: str

    @property
    def link(self) -> ProviderLink:
        return ProviderLink(self.provider.us.host, f"{self.public}/sign-in/provider")

    @property
    def mark(self) -> str:
        """Differs for another provider and other rules."""
        return self.rules.mark(self.provider.us.issuer, self.provider.us.client_id)


def way_of(settings: Settings) -> Way | None:
    """The provider of the settings, which see to it that all of it is there."""
    secret = settings.oidc_client_secret
    if settings.oidc_issuer is None or settings.oidc_client_id is None or secret is None:
        return None
    public = str(settings.public_api_url).rstrip("/")
    claim = settings.oidc_roles_claim
    us = Registration(
        settings.oidc_issuer, settings.oidc_client_id, secret.get_secret_value(), f"{public}{CALLBACK}", claim
    )
    return Way(Provider(us), RoleRules.parse(claim, settings.oidc_roles, settings.oidc_default_role), public)


def sign_in_routes(database: Database, way: Way | None, secure: bool) -> APIRouter:
    """The page, and with a provider the way there and back. `secure` cookies are sent over https only."""
    router = APIRouter(include_in_schema=False)
    link = way.link if way is not None else None

    @router.get("/sign-in")
    def sign_in(next: str | None = None) -> HTMLResponse:
        """Offers every way to sign in; its script goes on at once if there is a session."""
        return _page("", next_page(next), link)

    if way is not None:
        there_and_back = ThereAndBack(database, way, secure)
        router.add_api_route("/sign-in/provider", there_and_back.begin, methods=["GET"])
        router.add_api_route(CALLBACK, there_and_back.finish, methods=["GET"])
    return router


class ThereAndBack:
    """The way to the provider and back, for browsers."""

    def __init__(self, database: Database, way: Way, secure: bool) -> None:
        self._database, self._way, self._secure = database, way, secure
        self._host = way.provider.us.host
        self._path = f"{urlsplit(way.public).path}{CALLBACK}"

    async def begin(self, request: Request, next: str | None = None) -> Response:
        """Sends the browser to the provider, with what only this browser is to know in a cookie."""
        wanted = next_page(next)
        try:
            begun = await self._way.provider.begin()
        except ProviderError as error:
            return self._not_in(503, self._down(error), wanted)
        response = RedirectResponse(begun.url, 302)
        response.set_cookie(
            COOKIE,
            _kept(request.app.state.authority, begun, wanted),
            max_age=BEGUN_SECONDS,
            path=self._path,
            secure=self._secure,
            httponly=True,
            # Whoever comes back comes from the provider's site.
            samesite="lax",
        )
        return response

    async def finish(
        self, request: Request, state: str | None = None, code: str | None = None, error: str | None = None
    ) -> Response:
        """Opens a session for whom the provider told about, and goes on; else says why not."""
        authority: Authority = request.app.state.authority
        try:
            authority.require_patience(client_address(request))
        except HTTPException as often:
            return self._not_in(often.status_code, f"Not signed in: {often.detail}.")
        begun = _begun(authority, request.cookies.get(COOKIE, ""))
        if begun is None or state is None or not hmac.compare_digest(state.encode(), begun["state"].encode()):
            return self._not_in(400, NOT_BEGUN)
        if code is None:
            words = NOT_AGREED if error == "access_denied" else f"{self._host} couldn't sign you in."
            response = self._not_in(403, words, next_page(begun["next"]))
        else:
            response = await self._signed_in(request, code, begun)
        # Whatever came of it, nothing can come of it again.
        response.delete_cookie(COOKIE, path=self._path, secure=self._secure, httponly=True, samesite="lax")
        return response

    async def _signed_in(self, request: Request, code: str, begun: Mapping[str, str]) -> Response:
        authority: Authority = request.app.state.authority
        wanted = next_page(begun["next"])
        try:
            claims = await self._way.provider.finish(code, begun["nonce"], begun["verifier"])
            caller = caller_of(claims, self._way.rules)
        except ProviderError as error:
            return self._not_in(503, self._down(error), wanted)
        except RefusedError as refused:
            authority.failed(client_address(request))
            log.warning("sign-in refused: %s", refused)
            return self._not_in(403, f"Not signed in: {refused}.", wanted)
        except AccessError as refused:
            log.warning("sign-in refused: %s", refused)
            return self._not_in(403, f"Not signed in: {refused}. Please ask your operators.", wanted)
        await _note(request, self._database, caller, self._way.provider.us.issuer)
        response = HTMLResponse(html_of("signed_in", root="../", next=wanted, who=caller))
        keep_session(response, authority.open_for(caller), self._secure)
        return response

    def _not_in(self, status: int, problem: str, wanted: str = FIRST_PAGE) -> Response:
        return _page("../", wanted, self._way.link, problem, status)

    def _down(self, error: ProviderError) -> str:
        return f"Signing in with {self._host} doesn't work now: {error}. Signing in with a token does."


def _page(root: str, wanted: str, link: ProviderLink | None, problem: str = "", status: int = 200) -> HTMLResponse:
    """The sign-in page, which goes on to `wanted` afterwards."""
    href = f"{link.href}?next={quote(wanted, safe='/')}" if link is not None else ""
    html = html_of("sign_in_page", root=root, next=wanted, provider=link, href=href, problem=problem)
    return HTMLResponse(html, status)


def _kept(authority: Authority, begun: Begun, wanted: str) -> str:
    """What a browser keeps of a sign-in that it began."""
    content = {"state": begun.state, "nonce": begun.nonce, "verifier": begun.verifier, "next": wanted}
    text = urlsafe_b64encode(json.dumps(content).encode()).decode()
    return authority.signed(PURPOSE, f"{int(time.time()) + BEGUN_SECONDS}.{text}")


def _begun(authority: Authority, value: str) -> dict[str, Any] | None:
    """The same read back; None for what isn't ours or is too old."""
    content = authority.unsigned(PURPOSE, value)
    if content is None:
        return None
    expires, _, text = content.partition(".")
    found: dict[str, Any] = json.loads(urlsafe_b64decode(text))
    return found if int(expires) > time.time() else None


async def _note(request: Request, database: Database, caller: Caller, issuer: str) -> None:
    """Note who came in with which role. While that can't be noted people get in, and can't change what is noted."""
    act = act_of(request, caller, "session.open", caller.name, issuer=issuer)
    try:
        await anyio.to_thread.run_sync(audit.record, database, act)
    except SQLAlchemyError as error:
        log.warning("the sign-in of %r isn't noted in the audit (%s)", caller.name, type(error).__name__)
