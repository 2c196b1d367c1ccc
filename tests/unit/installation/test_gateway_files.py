"""The gateway's configuration of an installation follows its products and ports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from mlops_assets.installation import gateway_files, secret_files
from mlops_assets.settings import Settings
from mlops_assets.training.catalogue import declared_products


def test_the_digest_changes_with_the_ports_and_only_then(tmp_path: Path) -> None:
    products = declared_products()
    one = Settings(home=tmp_path / "one", port_offset=100)
    other = Settings(home=tmp_path / "one", port_offset=200)
    secret_files.prepare(one.secrets)
    first = gateway_files.configure(one, products)
    assert gateway_files.configure(one, products) == first
    assert gateway_files.configure(other, products) != first


def test_it_listens_where_the_settings_say_and_tells_nobody_the_inner_token(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, port_offset=300)
    secret_files.prepare(settings.secrets)
    gateway_files.configure(settings, declared_products())
    text = (settings.gateway / "envoy.json").read_text()
    assert json.loads(text)
    assert f'"port_value": {settings.ports.gateway}' in text
    assert f'"port_value": {settings.ports.production(0)}' in text
    assert f'"port_value": {settings.ports.api}' in text
    assert secret_files.operator_token(settings.secrets) not in text
    assert secret_files.inner_token(settings.secrets) in text
    assert (settings.gateway / "envoy.json").stat().st_mode & 0o777 == 0o600


def test_a_product_is_found_under_its_own_paths(tmp_path: Path) -> None:
    online, second = gateway_files.online_products(Settings(home=tmp_path), declared_products())
    assert second.upstream.paths == ("/api/score_accident", "/api/score_accident/batch")
    assert second.production_urls == ("http://127.0.0.1:6011",)
    assert online.upstream.paths == (
        "/api/predict_home_price",
        "/api/predict_home_price/batch",
        "/api/get_location_names",
    )
    assert (*online.production_urls, *online.candidate_urls) == ("http://127.0.0.1:6001", "http://127.0.0.1:6002")


def test_a_gateway_of_its_own_starts_without_the_database_once_it_has_known_where_to_send_people(
    tmp_path: Path,
) -> None:
    settings = Settings(
        home=tmp_path, parts="gateway", orchestrator_host="o", serving_hosts="a b", storage_url="s3://bucket/x",
        serving_database_url=SecretStr("postgresql+psycopg2://u:hunter2@127.0.0.1:1/x"),
    )  # fmt: skip
    secret_files.prepare(settings.secrets)
    settings.gateway.mkdir()
    with pytest.raises(gateway_files.RoutesError, match="refused") as told:
        gateway_files.write_first_routes(settings, declared_products())
    assert "hunter2" not in str(told.value)
    gateway_files.routes_file(settings).write_text("{}")
    gateway_files.write_first_routes(settings, declared_products())
    assert gateway_files.routes_file(settings).read_text() == "{}"
