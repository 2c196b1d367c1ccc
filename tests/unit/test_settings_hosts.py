"""Several hosts: which parts run here, where the others are, and what of it can't be."""

from __future__ import annotations

import os

import pytest

from mlops_assets.installation.programs import all_programs, of_this_host
from mlops_assets.settings import Settings, SettingsError, load
from mlops_assets.training.catalogue import declared_products

SHARED = {"database_url": "postgresql+psycopg2://u:p@db/x", "storage_url": "s3://bucket/x"}
ELSEWHERE = {"orchestrator_host": "orchestrator", "serving_hosts": "10.0.0.2 10.0.0.3", "gateway_host": "gateway"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("MLOPS_")]:
        monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"MLOPS_{name.upper()}", value)
    return load()


def names(settings: Settings) -> set[str]:
    return {program.name for program in of_this_host(settings, all_programs(settings, declared_products()))}


def test_one_machine_runs_every_part_on_its_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch)
    everything = all_programs(settings, declared_products())
    assert names(settings) == {program.name for program in everything}
    assert "routes" not in names(settings)
    assert {settings.listen, settings.here} == {"127.0.0.1"}


def test_every_program_runs_on_the_host_of_its_part_and_each_host_ships_its_own_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = names(given(monkeypatch)) - {"postgres"}
    found = {
        part: names(given(monkeypatch, parts=part, **SHARED, **ELSEWHERE))
        for part in ("orchestrator", "serving", "gateway")
    }
    services = {f"{p.name}_{v}" for p in declared_products() if p.serving for v in ("production", "candidate")}
    assert found["serving"] == {*services, "shipper"}
    assert found["gateway"] == {"gateway", "routes", "shipper"}
    assert found["orchestrator"] == alone - services - {"gateway", "shipper"}


def test_each_part_is_asked_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, parts="gateway", **SHARED, **ELSEWHERE)
    assert settings.mlflow_server_url == "http://orchestrator:5000"
    assert settings.api_server_url == "http://orchestrator:8001"
    assert settings.gateway_url == "http://gateway:7000"
    assert settings.places("serving") == ("10.0.0.2", "10.0.0.3")


def test_a_host_with_one_address_open_asks_itself_there(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = given(monkeypatch, listen="10.0.0.9")
    assert settings.gateway_url == "http://10.0.0.9:7000"
    addresses = {p.name: p.here(settings) for p in all_programs(settings, declared_products())}
    assert addresses["mlflow"] == "10.0.0.9"
    # Nobody else has to ask for the definitions.
    assert addresses["code"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"parts": "serving and gateway"}, "MLOPS_PARTS"),
        ({"parts": " "}, "MLOPS_PARTS"),
        ({"parts": "serving", **SHARED}, "MLOPS_ORCHESTRATOR_HOST"),
        ({"parts": "gateway", **SHARED, "orchestrator_host": "o"}, "MLOPS_SERVING_HOSTS"),
        ({"parts": "orchestrator serving", **SHARED}, "MLOPS_GATEWAY_HOST"),
        ({"parts": "serving", "orchestrator_host": "o", "storage_url": "s3://b/x"}, "MLOPS_SERVING_DATABASE_URL"),
        ({"serving_database_url": SHARED["database_url"]}, "MLOPS_DATABASE_URL"),
        ({"parts": "serving", "orchestrator_host": "o", "database_url": SHARED["database_url"]}, "MLOPS_STORAGE_URL"),
        ({"listen": "localhost"}, "MLOPS_LISTEN"),
        ({"listen": "10.0.0.300"}, "MLOPS_LISTEN"),
        ({"orchestrator_host": "http://o"}, "MLOPS_ORCHESTRATOR_HOST"),
        ({"gateway_host": "g:7000"}, "MLOPS_GATEWAY_HOST"),
        ({"gateway_host": "a b"}, "MLOPS_GATEWAY_HOST"),
        ({"serving_hosts": "10.0.0.1 10.0.0.300"}, "MLOPS_SERVING_HOSTS"),
        ({"serving_hosts": "a,b"}, "MLOPS_SERVING_HOSTS"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        given(monkeypatch, **values)
