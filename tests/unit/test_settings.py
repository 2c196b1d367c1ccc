"""Settings: values from the environment, clear refusals, nothing secret in an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.settings import Settings, SettingsError, load
from mlops_assets.settings.installation import LONGEST_SOCKET_FOLDER


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("MLOPS_")]:
        monkeypatch.delenv(name)


def test_every_port_moves_by_the_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load().ports
    monkeypatch.setenv("MLOPS_PORT_OFFSET", "1000")
    moved = load().ports
    assert {k: v + 1000 for k, v in plain.model_dump().items()} == moved.model_dump()


def test_slots_of_products_never_share_a_port() -> None:
    ports = load().ports
    used = [p for slot in range(20) for p in (ports.production(slot), ports.candidate(slot))]
    assert len(set(used)) == len(used)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MLOPS_PORT_OFFSET", "-1"), ("MLOPS_PORT_OFFSET", "many"), ("MLOPS_DAGSTER_PORT", "70000")],
)
def test_a_bad_value_is_refused_with_the_variables_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load()


def test_an_offset_past_the_last_port_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_PORT_OFFSET", "50000")
    monkeypatch.setenv("MLOPS_GATEWAY_PORT", "60000")
    with pytest.raises(SettingsError, match="MLOPS_PORT_OFFSET"):
        _ = load().ports


def test_a_database_url_for_the_wrong_driver_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", "postgresql://me:hunter2@db/x")
    with pytest.raises(SettingsError, match=r"MLOPS_DATABASE_URL.*postgresql\+psycopg2") as refused:
        load()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("query", ["host=a:5432&host=b:5432", "host=a:5432"])
def test_servers_in_a_form_that_only_one_library_understands_are_refused(
    monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", f"postgresql+psycopg2://me:hunter2@/x?{query}")
    with pytest.raises(SettingsError, match=r"MLOPS_DATABASE_URL.*host=one,other&port=5432,5432") as refused:
        load()
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("MLOPS_DATABASE_URL", "postgresql+psycopg2://me:hunter2@/x?host=a,b&port=1,2")
    assert load().database.endswith("host=a,b&port=1,2")


def test_the_password_is_not_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_DATABASE_URL", "postgresql+psycopg2://me:hunter2@db/x")
    settings = load()
    assert "hunter2" not in repr(settings)
    assert settings.database_for("dagster").endswith("?options=-csearch_path%3Ddagster")
    assert not settings.embedded_database


def test_a_deep_home_gets_sockets_in_a_short_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    monkeypatch.setenv("MLOPS_HOME", str(deep))
    settings = load()
    assert len(str(settings.postgres_socket_dir)) <= LONGEST_SOCKET_FOLDER
    other = load()
    monkeypatch.setenv("MLOPS_HOME", str(deep) + "2")
    assert other.run_dir == settings.run_dir != load().run_dir


def test_a_products_source_comes_from_its_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_HOUSE_PRICES_SOURCE", "/data/a.csv")
    settings = load()
    assert settings.source_of("house_prices") == "/data/a.csv"
    assert settings.source_of("traffic_anomalies") is None


def test_a_process_of_an_installation_has_its_ports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))
    monkeypatch.setenv("MLOPS_PORT_OFFSET", "1000")
    settings = load()
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert load().ports == settings.ports
    assert int(settings.environment()["MLOPS_CODE_SERVER_PORT"]) == settings.ports.code == 5266


def test_a_process_of_an_installation_has_the_inner_token_once_there_is_one(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert "MLFLOW_TRACKING_TOKEN" not in settings.environment()
    assert settings.inner_headers() == settings.inner_headers("operator") == {}
    settings.secrets.mkdir()
    (settings.secrets / "inner_token").write_text("abc\n")
    assert settings.environment()["MLFLOW_TRACKING_TOKEN"] == "abc"
    assert settings.inner_headers() == {"Authorization": "Bearer abc"}
    assert settings.inner_headers("operator") == {"Authorization": "Bearer abc", "x-mlops-role": "operator"}
    assert "abc" not in repr(settings)


@pytest.mark.parametrize("address", ["tcp://scheduler:8786", "tls://10.0.0.4:8786", "tcp://[::1]:1"])
def test_a_dask_scheduler_is_named_by_scheme_host_and_port(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLOPS_DASK_ADDRESS", address)
    assert load().dask_address == address


@pytest.mark.parametrize(
    "address",
    ["scheduler:8786", "http://scheduler:8786", "tcp://scheduler", "tcp://scheduler:0", "tcp://scheduler:70000",
     "tcp://me@scheduler:8786", "tcp://scheduler:8786/path"],
)  # fmt: skip
def test_another_address_of_a_dask_scheduler_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLOPS_DASK_ADDRESS", address)
    with pytest.raises(SettingsError, match=r"MLOPS_DASK_ADDRESS.*tcp://HOST:PORT"):
        load()
