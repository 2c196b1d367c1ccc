"""A provider that keeps to the protocol, or breaks it in one way that a test chooses.

Add a way to break it here. It checks what a strict provider does: the id and secret, the verifier, each code once.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.integration.sign_in.console import CLIENT, SECRET

Claims = dict[str, Any]


def new_key(kid: str = "first") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


class Crooked:
    """The provider at `url`, which is set once it listens. Change its attributes to break it."""

    def __init__(self) -> None:
        self.url = ""
        self.key = new_key()
        self.signs_with = self.key
        self.claims: Callable[[Claims], Claims] = lambda claims: claims
        self.token: Callable[[str], str] = lambda token: token
        self.description: Claims = {}
        self.user_info: Claims = {}
        self.broken: Callable[[], Response] | None = None
        self.hangs = False
        self.asked: list[str] = []
        self.begun: dict[str, dict[str, str]] = {}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._describe),
                Route("/authorize", self._authorize, methods=["GET", "POST"]),
                Route("/token", self._give_token, methods=["POST"]),
                Route("/keys", self._give_keys),
                Route("/userinfo", self._give_user_info),
            ]
        )

    async def _describe(self, _: Request) -> Response:
        self.asked.append("description")
        if self.hangs:
            await asyncio.sleep(20)
        if self.broken is not None:
            return self.broken()
        about = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "scopes_supported": ["openid", "email", "groups"],
        }
        return JSONResponse(about | self.description)

    async def _authorize(self, request: Request) -> Response:
        code = secrets.token_urlsafe()
        self.begun[code] = dict(request.query_params)
        asked = self.begun[code]
        return RedirectResponse(f"{asked['redirect_uri']}?code={code}&state={asked['state']}", 302)

    async def _give_token(self, request: Request) -> Response:
        given = await request.form()
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 401)
        begun = self.begun.pop(str(given["code"]), None)
        digest = urlsafe_b64encode(sha256(str(given["code_verifier"]).encode()).digest()).decode().rstrip("=")
        if begun is None or (begun["code_challenge_method"], begun["code_challenge"]) != ("S256", digest):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {
            **{"iss": self.url, "aud": CLIENT, "sub": "0001", "iat": now, "exp": now + 300, "nonce": begun["nonce"]},
            **{"email": "ada@example.org", "groups": ["ml-ops"]},
        }
        header = {"alg": "RS256", "kid": self.signs_with.kid}
        token = jwt.encode(header, self.claims(claims), self.signs_with)
        return JSONResponse(
            {"access_token": "opens-userinfo", "token_type": "Bearer", "expires_in": 300, "id_token": self.token(token)}
        )

    async def _give_keys(self, _: Request) -> Response:
        self.asked.append("keys")
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def _give_user_info(self, request: Request) -> Response:
        self.asked.append("userinfo")
        if request.headers.get("authorization") != "Bearer opens-userinfo":
            return PlainTextResponse("who are you?", 401)
        return JSONResponse(self.user_info)
