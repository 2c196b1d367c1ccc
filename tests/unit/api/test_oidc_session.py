"""Sessions of people whom a provider told about: what ends them, and under which name they act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.app import create_app
from mlops_assets.api.auth import SESSION_SECONDS, Authority
from mlops_assets.api.rollouts.routes import Subject
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.unit.api.test_access import OWN_PAGE, PAUSE, TOKEN, Clock, FakeLedger
from tests.unit.inference.asgi_client import AsgiClient

ADA = Caller("oidc:0001", "ada@example.org", Role.OPERATOR, Kind.OIDC)
KIM = Caller("oidc:0002", "kim. müller", Role.EDITOR, Kind.OIDC)


def test_a_session_holds_who_somebody_is_and_for_how_long() -> None:
    clock = Clock()
    authority = Authority(TOKEN, clock, provider="one")
    for caller in (ADA, KIM):
        session = authority.session(authority.open_for(caller))
        assert session is not None
        assert session.caller == caller
        assert session.expires == clock.now + SESSION_SECONDS
    value = authority.open_for(ADA)
    clock.now += SESSION_SECONDS
    assert authority.of_session(value) is None


@pytest.mark.parametrize("provider", [None, "other rules"])
def test_a_session_ends_with_the_rules_that_it_was_opened_by(provider: str | None) -> None:
    value = Authority(TOKEN, provider="one").open_for(ADA)
    assert Authority(TOKEN, provider="one").of_session(value) == ADA
    assert Authority(TOKEN, provider=provider).of_session(value) is None
    assert Authority(f"{TOKEN} made anew", provider="one").of_session(value) is None


def test_a_session_can_not_be_changed_into_another() -> None:
    authority = Authority(TOKEN, provider="one")
    value = authority.open_for(KIM)
    expires, nonce, way, known, mac = value.split(".")
    others = authority.open_for(ADA).split(".")
    for forged in (
        ".".join((expires, nonce, way, others[3], mac)),
        ".".join((str(int(expires) + 1), nonce, way, known, mac)),
        ".".join((expires, nonce, mac)),
        ".".join((expires, nonce, way, known)),
        authority.signed("sign-in", value.rpartition(".")[0]),
    ):
        assert authority.of_session(forged) is None, forged


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def app(tmp_path: Path, ledger: FakeLedger) -> Any:
    fake: Any = ledger
    settings = Settings(
        home=tmp_path,
        oidc_issuer="https://provider.example",
        oidc_client_id="console",
        oidc_client_secret="secret",
        oidc_roles="ml-ops=operator",
        public_api_url="https://ml.example/console",
    )
    database = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    return create_app(settings, database, token=TOKEN, subjects=[Subject("house_prices", "House prices")], ledger=fake)


def test_orders_are_under_the_name_that_the_provider_vouches_for(app: Any, ledger: FakeLedger) -> None:
    client = AsgiClient(app)
    own = OWN_PAGE | {"Cookie": f"mlops_session={app.state.authority.open_for(ADA)}"}
    assert client.post(PAUSE, json={"reason": "x", "actor": "somebody else"}, headers=own).status_code == 200
    assert [order["actor"] for order in ledger.given] == ["ada@example.org"]
    editor = OWN_PAGE | {"Cookie": f"mlops_session={app.state.authority.open_for(KIM)}"}
    assert client.post(PAUSE, json={"reason": "x"}, headers=editor).status_code == 403
    assert client.post(PAUSE, json={"reason": "x"}, headers={"Cookie": own["Cookie"]}).status_code == 403


def test_whoever_asks_is_told_who_they_are(app: Any) -> None:
    client = AsgiClient(app)
    assert client.get("/api/v1/session").status_code == 401
    by_token = client.get("/api/v1/session", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert by_token == {"name": "operator", "role": "operator", "how": "file", "until": None}
    told = client.get(
        "/api/v1/session", headers={"Cookie": f"mlops_session={app.state.authority.open_for(KIM)}"}
    ).json()
    assert (told["name"], told["role"], told["how"]) == ("kim. müller", "editor", "oidc")
    assert told["until"].endswith("Z")


def test_behind_https_cookies_are_for_https_only(app: Any) -> None:
    answer = AsgiClient(app).post("/session", json={"token": TOKEN}, headers=OWN_PAGE)
    assert "Secure" in answer.headers["set-cookie"]


def test_the_page_leads_to_the_public_address_whatever_was_asked_for(app: Any) -> None:
    html = AsgiClient(app).get("/sign-in?next=/drift%23day=1").text
    assert 'href="https://ml.example/console/sign-in/provider?next=/drift%23day%3D1"' in html
    assert "Sign in with provider.example" in html
