"""A provider that breaks the protocol, over HTTP: nobody gets in by it, and what people read says what is wrong."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from mlops_assets.api import oidc
from mlops_assets.api.id_token import ProviderError, RefusedError
from mlops_assets.api.oidc import Provider
from tests.integration.serving_thread import served
from tests.integration.sign_in.console import CLIENT, SECRET, asked_for
from tests.integration.sign_in.crooked import Claims, Crooked, new_key

US = "http://127.0.0.1:1/sign-in/callback"
NOW = int(time.time())


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def crooked() -> Iterator[Crooked]:
    found = Crooked()
    with served(found.app()) as found.url:
        yield found


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def provider(crooked: Crooked, hand: Hand) -> Provider:
    return Provider(oidc.Registration(crooked.url, CLIENT, SECRET, US, "groups"), hand)


async def came_back(provider: Provider, **changed: str) -> dict[str, Any]:
    """The claims of whoever was sent to the provider and came back from it."""
    begun = await provider.begin()
    async with httpx.AsyncClient() as browser:
        back = (await browser.get(begun.url)).headers["location"]
    assert asked_for(back)["state"] == begun.state
    given = {"code": asked_for(back)["code"], "nonce": begun.nonce, "verifier": begun.verifier} | changed
    return await provider.finish(**given)


def run(coroutine: Any) -> Any:
    """Its result."""
    return asyncio.run(coroutine)


def test_a_provider_that_keeps_to_the_protocol_is_believed(crooked: Crooked, provider: Provider) -> None:
    claims = run(came_back(provider))
    assert (claims["sub"], claims["groups"]) == ("0001", ["ml-ops"])
    assert "userinfo" not in crooked.asked


def changed(**claims: Any) -> Callable[[Claims], Claims]:
    """The right claims with others in their place; None takes one away."""
    return lambda right: {name: value for name, value in (right | claims).items() if value is not None}


@pytest.mark.parametrize(
    "claims",
    [
        changed(aud="another console"),
        changed(aud=["another console", "a third"]),
        # Somebody else's token, that was given to us.
        changed(aud="another console", azp=CLIENT),
        changed(aud=[CLIENT, "another console"], azp="another console"),
        changed(aud=None),
        changed(iss="http://127.0.0.1:1"),
        changed(iss=None),
        changed(nonce="of another sign-in"),
        changed(nonce=None),
        changed(nonce=""),
        changed(exp=NOW - 120),
        changed(exp=None),
        changed(exp="never"),
        changed(iat=NOW + 3600),
        changed(nbf=NOW + 3600),
        changed(sub=None),
        changed(sub=17),
    ],
)
def test_an_id_token_that_is_not_for_us_now_is_refused(
    crooked: Crooked, provider: Provider, claims: Callable[[Claims], Claims]
) -> None:
    crooked.claims = claims
    with pytest.raises(RefusedError) as refused:
        run(came_back(provider))
    assert "another" not in str(refused.value)


def part(value: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def unsigned(token: str) -> str:
    return f"{part({'alg': 'none'})}.{token.split('.')[1]}."


def promoted(token: str) -> str:
    header, claims, signature = token.split(".")
    found = json.loads(urlsafe_b64decode(claims + "=="))
    return f"{header}.{part(found | {'groups': ['ml-ops', 'root']})}.{signature}"


@pytest.mark.parametrize("token", [unsigned, promoted, lambda _: "", lambda _: "a.b.c", lambda token: token[:-4]])
def test_a_token_without_the_providers_signature_is_refused(
    crooked: Crooked, provider: Provider, token: Callable[[str], str]
) -> None:
    crooked.token = token
    with pytest.raises(RefusedError):
        run(came_back(provider))


def test_a_token_signed_by_another_key_is_refused(crooked: Crooked, provider: Provider) -> None:
    for key in (new_key("first"), new_key("other")):
        crooked.signs_with = key
        with pytest.raises(RefusedError, match="isn't signed by the provider"):
            run(came_back(provider))


def signed_with(secret: bytes) -> Callable[[str], str]:
    """A token with a signature that everybody can make who knows the secret."""

    def signed(token: str) -> str:
        content = f"{part({'alg': 'HS256', 'kid': 'first'})}.{token.split('.')[1]}"
        mac = urlsafe_b64encode(hmac.digest(secret, content.encode(), "sha256")).decode().rstrip("=")
        return f"{content}.{mac}"

    return signed


def test_a_token_signed_with_a_secret_that_others_know_is_refused(crooked: Crooked, provider: Provider) -> None:
    for secret in (SECRET.encode(), crooked.key.as_pem(private=False)):
        crooked.token = signed_with(secret)
        with pytest.raises(RefusedError):
            run(came_back(provider))
    crooked.description = {"id_token_signing_alg_values_supported": ["HS256", "none"]}
    with pytest.raises(ProviderError, match="in no way that can be checked safely"):
        run(came_back(Provider(provider.us)))


def test_new_keys_are_looked_for_when_they_are_needed(crooked: Crooked, provider: Provider, hand: Hand) -> None:
    run(came_back(provider))
    run(came_back(provider))
    assert crooked.asked.count("keys") == 1
    crooked.key = crooked.signs_with = new_key("second")
    # Not with every token that somebody sends: a moment later.
    with pytest.raises(RefusedError):
        run(came_back(provider))
    hand.now += oidc.PAUSE_SECONDS
    run(came_back(provider))
    assert crooked.asked.count("keys") == 2


def test_the_code_of_another_browsers_sign_in_is_refused(provider: Provider) -> None:
    with pytest.raises(RefusedError, match="doesn't take its code back"):
        run(came_back(provider, verifier="of the thief's own sign-in"))
    with pytest.raises(RefusedError, match="nonce"):
        run(came_back(provider, nonce="of the thief's own sign-in"))


def test_groups_that_only_the_user_info_has_are_found(crooked: Crooked, provider: Provider) -> None:
    crooked.claims = changed(groups=None)
    crooked.user_info = {"sub": "0001", "groups": ["ml"], "iss": "elsewhere"}
    claims = run(came_back(provider))
    assert (claims["groups"], claims["iss"]) == (["ml"], crooked.url)
    crooked.user_info = {"sub": "0002", "groups": ["ml-ops"]}
    with pytest.raises(RefusedError, match="somebody else"):
        run(came_back(provider))


def test_the_groups_are_asked_for_as_a_scope_where_there_is_one(crooked: Crooked, provider: Provider) -> None:
    assert asked_for(run(provider.begin()).url)["scope"].split() == ["openid", "profile", "email", "groups"]
    crooked.description = {"scopes_supported": ["openid"]}
    assert asked_for(run(Provider(provider.us).begin()).url)["scope"].split() == ["openid", "profile", "email"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: PlainTextResponse("oops", 500), "answered with status 500"),
        (lambda: PlainTextResponse("<html>", 200), "didn't answer as an OpenID Connect provider"),
        (lambda: JSONResponse(["a"]), "didn't answer as an OpenID Connect provider"),
        (lambda: RedirectResponse("http://127.0.0.1:1/"), "answered with status 307"),
        (lambda: PlainTextResponse(" " * 2_000_000), "answered with more than can be read"),
    ],
)
def test_a_provider_that_answers_nonsense_is_told(
    crooked: Crooked, provider: Provider, hand: Hand, answer: Callable[[], Response], words: str
) -> None:
    crooked.broken = answer
    with pytest.raises(ProviderError, match=words):
        run(provider.begin())
    crooked.broken = None
    # It isn't asked by everybody at once.
    with pytest.raises(ProviderError, match=words):
        run(provider.begin())
    hand.now += oidc.PAUSE_SECONDS
    run(provider.begin())
    assert crooked.asked.count("description") == 2


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "http://127.0.0.1:1"},
        {"issuer": None},
        {"token_endpoint": "ftp://127.0.0.1/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": 7},
    ],
)
def test_a_description_that_leads_elsewhere_is_refused(
    crooked: Crooked, provider: Provider, described: dict[str, Any]
) -> None:
    crooked.description = described
    with pytest.raises(ProviderError):
        run(provider.begin())


def test_a_provider_that_does_not_answer_is_not_waited_for(
    crooked: Crooked, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    crooked.hangs = True
    monkeypatch.setattr(oidc, "CALL_SECONDS", 0.3)
    with pytest.raises(ProviderError, match="took too long to answer"):
        run(provider.begin())
    monkeypatch.setattr(oidc, "CALL_SECONDS", 20)
    monkeypatch.setattr(oidc, "STEP_SECONDS", 0.3)
    with pytest.raises(ProviderError, match="took too long to answer"):
        run(Provider(provider.us).begin())


def test_a_wrong_secret_names_the_setting(crooked: Crooked) -> None:
    us = oidc.Registration(crooked.url, CLIENT, "not the secret", US, "groups")
    with pytest.raises(ProviderError, match="MLOPS_OIDC_CLIENT_ID") as refused:
        run(came_back(Provider(us)))
    assert "not the secret" not in str(refused.value)
