"""Talks to the OpenID Connect provider: where to send a browser, and who came back with a code.

Add here what of the protocol a provider needs. Keep out what is checked of its answers (`id_token`), cookies and pages
(`sign_in`), and what somebody may do (`access.provider`). authlib knows the protocol; here are the time limits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.oauth2.client import OAuth2Client

from mlops_assets.api.id_token import (
    ProviderError,
    RefusedError,
    UnknownKeyError,
    checked_claims,
    checked_description,
)

CALL_SECONDS = 5.0
# Of all that one step asks of the provider.
STEP_SECONDS = 10.0
KEPT_SECONDS = 3600.0
# A provider that didn't answer isn't asked by everybody at once; newer keys aren't looked for with every token.
PAUSE_SECONDS = 5.0
LONGEST_ANSWER = 1024 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registration:
    """How the provider knows us. `redirect` is our address that it sends browsers back to."""

    issuer: str
    client_id: str
    client_secret: str
    redirect: str
    roles_claim: str

    @property
    def host(self) -> str:
        """The provider as people are told of it."""
        return urlsplit(self.issuer).netloc


@dataclass(frozen=True)
class Begun:
    """A sign-in that has begun: the address to send a browser to, and what only that browser is to know."""

    url: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class _Kept:
    """What the provider told, and when."""

    told: dict[str, Any]
    at: float


class _Client(OAuth2Client):
    """authlib's protocol over the HTTP library that we have; its own integration asks for another one."""

    async def _fetch_token(
        self, url: str, body: str = "", headers: Any = None, auth: Any = None, method: str = "POST", **_: Any
    ) -> Any:
        url, headers, body = auth.prepare(method, url, dict(headers), body)
        return self.parse_response_token(await self.session.post(url, content=body, headers=headers))


class Provider:
    """One provider. Its description and its keys are kept for an hour; newer keys are looked for when one is missing.

    All of it belongs to the event loop of the application.
    """

    def __init__(self, us: Registration, clock: Callable[[], float] = time.monotonic) -> None:
        self.us = us
        self._clock = clock
        self._lock = asyncio.Lock()
        self._described: _Kept | None = None
        self._keys: _Kept | None = None
        self._failed: tuple[float, str] | None = None

    async def begin(self) -> Begun:
        """Where to send a browser that wants to sign in. Raises ProviderError."""
        async with self._asking() as http:
            about = await self._description(http)
            state, nonce, verifier = (generate_token(48) for _ in range(3))
            url, _ = self._client(http, about).create_authorization_url(
                about["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
            )
        return Begun(url, state, nonce, verifier)

    async def finish(self, code: str, nonce: str, verifier: str) -> dict[str, Any]:
        """What the provider says of whoever came back with the code.

        Raises:
            ProviderError: the provider doesn't answer, or not as a provider does.
            RefusedError: the code or the id token isn't what it should be.
        """
        async with self._asking() as http:
            about = await self._description(http)
            token = await self._exchange(http, about, code, verifier)
            claims = await self._claims(http, about, token, nonce)
            groups = {self.us.roles_claim, self.us.roles_claim.partition(".")[0]}
            if groups.isdisjoint(claims) and about.get("userinfo_endpoint"):
                # Some tell of groups only there. What the id token says stays as it is.
                claims = await self._user_info(http, about, token, claims["sub"]) | claims
        return claims

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client for one step of a sign-in, within the time for it. Raises ProviderError for what fails."""
        try:
            async with (
                asyncio.timeout(STEP_SECONDS),
                httpx.AsyncClient(timeout=CALL_SECONDS, verify=self._trusted) as http,
            ):
                yield http
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            log.warning("sign-in: %s (%s)", words_of(error, self.us.host), type(error).__name__)
            raise ProviderError(words_of(error, self.us.host)) from None

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        # Reading the trusted authorities takes longer than all else of a sign-in.
        return httpx.create_ssl_context()

    def _client(self, http: httpx.AsyncClient, about: Mapping[str, Any]) -> _Client:
        methods = about.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        scopes = about.get("scopes_supported") or []
        return _Client(
            http,
            client_id=self.us.client_id,
            client_secret=self.us.client_secret,
            token_endpoint_auth_method=(
                "client_secret_basic" if "client_secret_basic" in methods else "client_secret_post"
            ),
            # Many tell of groups only whoever asks for the scope of that name.
            scope=" ".join(("openid", "profile", "email", *({self.us.roles_claim} & {*scopes}))),
            redirect_uri=self.us.redirect,
            code_challenge_method="S256",
        )

    async def _description(self, http: httpx.AsyncClient) -> dict[str, Any]:
        """The provider's own description. Raises ProviderError or httpx.HTTPError."""
        async with self._lock:
            now = self._clock()
            if self._described is not None and now - self._described.at < KEPT_SECONDS:
                return self._described.told
            if self._failed is not None and now - self._failed[0] < PAUSE_SECONDS:
                raise ProviderError(self._failed[1])
            url = f"{self.us.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                found = checked_description(await _object(http, url), self.us.issuer)
            except (ProviderError, httpx.HTTPError) as error:
                self._failed = self._clock(), words_of(error, self.us.host)
                raise
            self._described, self._failed = _Kept(found, self._clock()), None
            return found

    async def _exchange(
        self, http: httpx.AsyncClient, about: Mapping[str, Any], code: str, verifier: str
    ) -> Mapping[str, Any]:
        """The tokens for a code. Raises RefusedError, ProviderError or httpx.HTTPError."""
        try:
            token: Mapping[str, Any] = await self._client(http, about).fetch_token(
                about["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                redirect_uri=self.us.redirect,
            )
        except AuthlibBaseError as error:
            if error.error == "invalid_grant":
                raise RefusedError("the provider doesn't take its code back: it was used before, or is old") from None
            log.warning("sign-in: the provider refuses the request for a token (%r)", error.error)
            raise ProviderError(f"{self.us.host} refuses this installation; see MLOPS_OIDC_CLIENT_ID") from None
        except (ValueError, TypeError):
            raise ProviderError(f"{self.us.host} didn't answer as an OpenID Connect provider does") from None
        if not isinstance(token.get("id_token"), str):
            raise ProviderError(f"{self.us.host} gave no id token")
        return token

    async def _claims(
        self, http: httpx.AsyncClient, about: Mapping[str, Any], token: Mapping[str, Any], nonce: str
    ) -> dict[str, Any]:
        """The id token's claims. Raises RefusedError, ProviderError or httpx.HTTPError."""

        def claims(keys: _Kept) -> dict[str, Any]:
            us, access = self.us.client_id, token.get("access_token")
            return checked_claims(token["id_token"], keys.told, about, client_id=us, nonce=nonce, access_token=access)

        kept = self._keys
        if kept is not None and self._clock() - kept.at < KEPT_SECONDS:
            try:
                return claims(kept)
            except UnknownKeyError:
                if self._clock() - kept.at < PAUSE_SECONDS:
                    raise
        self._keys = _Kept(await _object(http, about["jwks_uri"]), self._clock())
        return claims(self._keys)

    async def _user_info(
        self, http: httpx.AsyncClient, about: Mapping[str, Any], token: Mapping[str, Any], subject: str
    ) -> dict[str, Any]:
        """What the provider tells of the subject to who has the access token. Raises as `_claims` does."""
        bearer = {"Authorization": f"Bearer {token.get('access_token', '')}"}
        found = await _object(http, about["userinfo_endpoint"], bearer)
        if found.get("sub") != subject:
            raise RefusedError("the provider told of somebody else than its id token")
        return found


def words_of(error: BaseException, host: str) -> str:
    """Why the provider couldn't be asked, in plain words."""
    if isinstance(error, ProviderError):
        return str(error)
    if isinstance(error, httpx.HTTPStatusError):
        return f"{host} answered with status {error.response.status_code}"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"{host} took too long to answer"
    return f"{host} can't be reached"


async def _object(http: httpx.AsyncClient, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A JSON object of the provider. Raises ProviderError for anything else, httpx.HTTPError if none came."""
    content = bytearray()
    async with http.stream("GET", url, headers={"Accept": "application/json", **(headers or {})}) as response:
        response.raise_for_status()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > LONGEST_ANSWER:
                raise ProviderError(f"{urlsplit(url).netloc} answered with more than can be read")
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderError(f"{urlsplit(url).netloc} didn't answer as an OpenID Connect provider does")
    return found
