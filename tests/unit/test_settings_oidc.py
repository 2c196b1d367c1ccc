"""Settings of the OpenID Connect provider: all of it or nothing, and what is wrong by the variable's name."""

from __future__ import annotations

import os

import pytest

from mlops_assets.settings import SettingsError, load
from mlops_assets.settings.provider import ROLES

WHOLE = {
    "MLOPS_OIDC_ISSUER": "https://provider.example/realm",
    "MLOPS_OIDC_CLIENT_ID": "console",
    "MLOPS_OIDC_CLIENT_SECRET": "hunter2",
    "MLOPS_OIDC_ROLES": "ml-ops=operator ml=editor",
    "MLOPS_PUBLIC_API_URL": "https://ml.example",
}


@pytest.fixture(autouse=True)
def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLOPS_")]:
        monkeypatch.delenv(name)
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)


def test_a_whole_provider_is_taken() -> None:
    found = load()
    assert (found.oidc_issuer, found.oidc_roles_claim) == ("https://provider.example/realm", "groups")
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"^{name}: ") as refused:
        load()
    assert "hunter2" not in str(refused.value)


def test_a_default_role_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLOPS_OIDC_ROLES")
    monkeypatch.setenv("MLOPS_OIDC_DEFAULT_ROLE", "viewer")
    assert load().oidc_default_role == "viewer"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("MLOPS_OIDC_ISSUER", value) for value in ("http://provider.example", "provider.example", "https://", "x:y")),
        *(
            ("MLOPS_OIDC_ISSUER", value)
            for value in ("https://a@provider.example", "https://p.example/?a", "file:///x")
        ),
        *(
            ("MLOPS_OIDC_ROLES", value)
            for value in ("ml", "ml=root", "=viewer", "ml=viewer,ops=operator", "a=editor b")
        ),
        ("MLOPS_OIDC_DEFAULT_ROLE", "root"),
    ],
)
def test_what_can_not_be_used_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load()


def test_a_provider_on_this_machine_needs_no_https(monkeypatch: pytest.MonkeyPatch) -> None:
    for issuer in ("http://127.0.0.1:9400", "http://localhost:9400/", "http://[::1]:9400"):
        monkeypatch.setenv("MLOPS_OIDC_ISSUER", issuer)
        assert load().oidc_issuer == issuer


def test_the_roles_are_those_that_there_are() -> None:
    from mlops_assets.access.roles import Role

    assert set(ROLES) == {*Role}
