"""Signing in with a real provider: who gets in as whom, and what a stolen, old or made-up way back is worth."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from mlops_assets.storage.database import Database
from tests.integration.sign_in.conftest import running_provider
from tests.integration.sign_in.console import TOKEN, Console, asked_for, console, sent_away, sent_back
from tests.servers import free_port

OWN_PAGE = {"X-Requested-With": "mlops"}
STAGE = {"name": "one", "stage_type": "DATA_PREPROCESSING", "source": "def run():\n    return 1\n"}


def signed_in(person: httpx.Client, subject: str, wanted: str = "/rollouts") -> httpx.Response:
    """The console's answer to whoever comes back."""
    return person.get(sent_back(person, sent_away(person, wanted), subject))


def test_a_person_is_let_in_under_the_providers_name_and_goes_on(api: Console) -> None:
    with api.person() as person:
        answer = signed_in(person, "0001", "/drift#day=2026-01-02")
        assert answer.status_code == 200
        assert 'content="0;url=../drift#day=2026-01-02"' in answer.text
        found = api.who(person)
        assert found is not None
        assert (found["name"], found["role"], found["how"]) == ("ada@example.org", "operator", "oidc")
        assert person.cookies.get("mlops_sign_in") is None


def test_what_somebody_changes_is_noted_under_their_name(own_api: Console) -> None:
    api = own_api
    with api.person() as person:
        signed_in(person, "0002")
        made = person.post("/api/v1/pipelines", json={"name": "hers", "stages": [STAGE]}, headers=OWN_PAGE)
        assert made.status_code == 201, made.text
        assert person.get("/api/v1/audit").status_code == 403
    newest, first = api.audit()
    for entry in (newest, first):
        assert (entry["who"], entry["caller"], entry["role"], entry["kind"]) == (
            *("kim@example.org", "oidc:0002"),
            *("editor", "oidc"),
        )
    assert (first["action"], newest["action"]) == ("session.open", "pipeline.create")


def test_who_is_in_no_known_group_is_refused_in_plain_words(api: Console) -> None:
    with api.person() as person:
        answer = signed_in(person, "0003")
        assert answer.status_code == 403
        assert "eve@example.org" in answer.text
        assert "is in no group that has a role here" in answer.text
        assert api.who(person) is None


def test_a_default_role_is_for_everybody_whom_the_provider_knows(
    database: Database, tmp_path: Path, issuer: str
) -> None:
    with console(database, tmp_path, issuer, oidc_default_role="viewer") as api, api.person() as person:
        signed_in(person, "0003")
        found = api.who(person)
        assert found is not None
        assert found["role"] == "viewer"


def test_a_way_back_that_this_browser_did_not_begin_opens_nothing(api: Console) -> None:
    with api.person() as victim, api.person() as attacker, api.person() as nobody:
        stolen = sent_back(attacker, sent_away(attacker), "0001")
        sent_away(victim)
        for browser in (victim, nobody):
            answer = browser.get(stolen)
            assert answer.status_code == 400
            assert "wasn&#39;t begun in this browser" in answer.text
        assert api.who(victim) is None


@pytest.mark.parametrize("changed", ["", "x", "state=%ff", "code=1", "state=&code="])
def test_a_changed_state_opens_nothing(api: Console, changed: str) -> None:
    with api.person() as person:
        sent_back(person, sent_away(person), "0001")
        assert person.get(f"/sign-in/callback?{changed}").status_code == 400
        assert api.who(person) is None


def test_what_a_browser_keeps_of_a_sign_in_can_not_be_made_up(api: Console) -> None:
    with api.person() as person:
        back = sent_back(person, sent_away(person), "0001")
        kept = person.cookies["mlops_sign_in"]
        session = person.post("/session", json={"token": TOKEN}, headers=OWN_PAGE).cookies["mlops_session"]
        for forged in (kept[:-1] + ("0" if kept[-1] != "0" else "1"), kept.partition(".")[2], session, ""):
            with api.person() as other:
                other.cookies.set("mlops_sign_in", forged, domain="127.0.0.1", path="/sign-in/callback")
                assert other.get(back).status_code == 400
        with api.person() as other:
            other.cookies.set("mlops_session", kept, domain="127.0.0.1", path="/")
            assert api.who(other) is None


def test_a_code_opens_one_session_only(api: Console) -> None:
    with api.person() as person:
        back = sent_back(person, sent_away(person), "0001")
        kept = person.cookies["mlops_sign_in"]
        assert person.get(back).status_code == 200
        assert person.get(back).status_code == 400
    with api.person() as thief:
        thief.cookies.set("mlops_sign_in", kept, domain="127.0.0.1", path="/sign-in/callback")
        answer = thief.get(back)
        assert answer.status_code == 403
        assert "was used before" in answer.text
        assert api.who(thief) is None


def test_whoever_keeps_coming_back_with_bad_codes_has_to_wait(own_api: Console) -> None:
    api = own_api
    with api.person() as person:
        for _ in range(10):
            state = asked_for(sent_away(person))["state"]
            assert person.get("/sign-in/callback", params={"state": state, "code": "guessed"}).status_code == 403
        answer = person.get("/sign-in/callback", params={"state": state, "code": "guessed"})
        assert (answer.status_code, answer.headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert "too many failed sign-ins" in answer.text


def test_who_does_not_agree_at_the_provider_is_told_so(api: Console) -> None:
    with api.person() as person:
        state = asked_for(sent_away(person, "/drift"))["state"]
        answer = person.get("/sign-in/callback", params={"state": state, "error": "access_denied"})
        assert answer.status_code == 403
        assert "You didn&#39;t agree" in answer.text
        assert 'data-next="/drift"' in answer.text


def test_the_providers_own_words_are_not_shown(api: Console) -> None:
    with api.person() as person:
        state = asked_for(sent_away(person))["state"]
        words = {"state": state, "error": "<b>call 555", "error_description": "call 555"}
        answer = person.get("/sign-in/callback", params=words)
        assert answer.status_code == 403
        assert "555" not in answer.text


def test_an_expired_id_token_is_refused(database: Database, tmp_path: Path) -> None:
    with (
        running_provider(tmp_path, "--token-max-age", "-300") as issuer,
        console(database, tmp_path, issuer) as api,
        api.person() as person,
    ):
        answer = signed_in(person, "0001")
        assert answer.status_code == 403
        assert "has expired" in answer.text
        assert api.who(person) is None


def test_while_the_provider_is_down_a_token_still_signs_in(database: Database, tmp_path: Path) -> None:
    issuer = f"http://127.0.0.1:{free_port()}"
    with console(database, tmp_path, issuer) as api, api.person() as person:
        answer = person.get("/sign-in/provider", params={"next": "/drift"})
        assert answer.status_code == 503
        assert f"{issuer.removeprefix('http://')} can&#39;t be reached" in answer.text
        assert 'data-next="/drift"' in answer.text
        assert person.post("/session", json={"token": TOKEN}, headers=OWN_PAGE).status_code == 204
        assert (api.who(person) or {})["name"] == "operator"


def test_a_provider_that_goes_down_on_the_way_back_is_told(database: Database, tmp_path: Path) -> None:
    with ExitStack() as opened:
        with running_provider(tmp_path) as issuer:
            api = opened.enter_context(console(database, tmp_path, issuer))
            person = opened.enter_context(api.person())
            back = sent_back(person, sent_away(person), "0001")
        answer = person.get(back)
        assert answer.status_code == 503
        assert "Signing in with a token does." in answer.text
        assert api.who(person) is None
