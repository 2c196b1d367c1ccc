"""What the gateway is told of traces: nothing without a collector, and with one nothing of the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.installation.gateway_files import tracing_of
from mlops_assets.rollout import gateway
from mlops_assets.rollout.gateway import Tracing
from mlops_assets.settings import Settings, SettingsError

HOUSES = gateway.Upstream("house_prices", 0, ("/api/predict_home_price",), 6001, 6002)


def boot(tracing: Tracing | None = None) -> dict[str, Any]:
    return gateway.bootstrap(
        (HOUSES,), host="127.0.0.1", port=7000, metrics_port=7001, admin_socket=Path("/run/a.sock"),
        routes_file=Path("/run/routes.json"), failures_log=Path("/run/failures.jsonl"), tracing=tracing,
    )  # fmt: skip


def public(config: dict[str, Any]) -> dict[str, Any]:
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    return dict(chain["filters"][0]["typed_config"])


def collector(config: dict[str, Any]) -> dict[str, Any]:
    return dict(config["static_resources"]["clusters"][-1])


def test_without_a_collector_nothing_of_it_is_configured() -> None:
    config = boot()
    assert "tracing" not in public(config)
    assert "layered_runtime" not in config
    assert collector(config)["name"] == "admin"
    assert not [word for word in ("TRACE_ID", "tracestate") if word in json.dumps(config)]


@pytest.mark.parametrize(("share", "numerator"), [(0.0, 0), (0.1, 100_000), (0.000001, 1), (1.0, 1_000_000)])
def test_the_share_of_traces_is_the_samplers(share: float, numerator: int) -> None:
    provider = public(boot(Tracing("http://127.0.0.1:4318", share)))["tracing"]["provider"]["typed_config"]
    assert provider["sampler"]["typed_config"]["sampling_percentage"]["numerator"] == numerator


@pytest.mark.parametrize(
    ("endpoint", "url", "host", "port", "secure"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", "127.0.0.1", 4318, False),
        ("http://collector/", "http://collector/v1/traces", "collector", 80, False),
        (
            "https://traces.example.org/otlp",
            "https://traces.example.org/otlp/v1/traces",
            "traces.example.org",
            443,
            True,
        ),
        ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces", "::1", 4318, False),
    ],
)
def test_the_collectors_address(endpoint: str, url: str, host: str, port: int, secure: bool) -> None:
    config = boot(Tracing(endpoint))
    provider = public(config)["tracing"]["provider"]["typed_config"]
    assert provider["http_service"]["http_uri"]["uri"] == url
    cluster = collector(config)
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert (address["address"], address["port_value"]) == (host, port)
    assert ("transport_socket" in cluster) == secure
    if secure:
        context = cluster["transport_socket"]["typed_config"]
        assert context["sni"] == host
        assert Path(context["common_tls_context"]["validation_context"]["trusted_ca"]["filename"]).is_file()


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:4318", "grpc://c:4317", "http://", "http://me:secret@c:4318", "http://c:4318/?key=1"]
)
def test_an_address_that_can_not_be_used_is_refused_without_telling_it(endpoint: str) -> None:
    with pytest.raises(ValueError, match="give an address") as caught:
        Tracing(endpoint)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_none_to_all(share: float) -> None:
    with pytest.raises(ValueError, match="share of traces"):
        Tracing("http://c:4318", share)


def test_an_installation_without_a_collector_sends_no_traces_and_a_wrong_address_names_its_variable() -> None:
    assert tracing_of(Settings()) is None
    told = tracing_of(Settings.model_validate({"otlp_endpoint": "http://127.0.0.1:4318"}))
    assert told is not None
    assert told.url == "http://127.0.0.1:4318/v1/traces"
    with pytest.raises(SettingsError, match="MLOPS_OTLP_ENDPOINT") as caught:
        tracing_of(Settings.model_validate({"otlp_endpoint": "http://me:secret@c:4318"}))
    assert "secret" not in str(caught.value)
