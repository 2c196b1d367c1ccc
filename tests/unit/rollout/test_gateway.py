"""The gateway's configuration as made from products and ledger states; what Envoy does with it is tested elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.rollout import gateway
from mlops_assets.rollout.envoy.routes import WHOLE, candidate_weight
from mlops_assets.rollout.envoy.upstreams import seconds
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import State

HOUSES = gateway.Upstream("house_prices", 0, ("/api/predict_home_price",), 6001, 6002)
CARS = gateway.Upstream("car_prices", 1, ("/api/car",), 6011, 6012)


def comparing(share: float = 0.2, **more: Any) -> State:
    given: dict[str, Any] = {"production": 1, "candidate": 2, "rollout": 3, "phase": Phase.RAMP}
    return State(product="house_prices", candidate_share=share, **given | more)


def entries(state: State | None = None, token: str | None = None, *upstreams: gateway.Upstream) -> list[dict[str, Any]]:
    states = {state.product: state} if state else {}
    config = gateway.routes(upstreams or (HOUSES, CARS), states, operator_token=token)
    return list(config["resources"][0]["virtual_hosts"][0]["routes"])


def route_of(path: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(next(r for r in found if r["match"].get("path") == path and "headers" not in r["match"]))


def boot(*upstreams: gateway.Upstream, **more: Any) -> dict[str, Any]:
    return gateway.bootstrap(
        upstreams or (HOUSES, CARS), host="127.0.0.1", port=7000, metrics_port=7001, admin_socket=Path("/run/a.sock"),
        routes_file=Path("/run/routes.json"), failures_log=Path("/run/failures.jsonl"), **more,
    )  # fmt: skip


def test_the_configurations_are_json() -> None:
    json.dumps(boot())
    json.dumps(gateway.routes((HOUSES, CARS), {"house_prices": comparing()}, operator_token="t"))


@pytest.mark.parametrize(
    ("share", "weight"), [(0.2, 2000), (0.05, 500), (0.3333333, 3333), (0.00001, 1), (0.99999, 9999), (1.0, 9999)]
)
def test_weights_are_ten_thousandths_and_never_all_or_nothing(share: float, weight: int) -> None:
    assert candidate_weight(comparing(share)) == weight
    action = route_of("/api/predict_home_price", entries(comparing(share)))["route"]
    split = action["weighted_clusters"]["clusters"]
    assert [(c["name"], c["weight"]) for c in split] == [
        ("house_prices_to_candidate", weight),
        ("house_prices_to_production", WHOLE - weight),
    ]


@pytest.mark.parametrize(
    "state",
    [
        None,
        comparing(0.0),
        comparing(candidate=None),
        comparing(rollout=None),
        *(comparing(phase=phase) for phase in Phase if phase not in (Phase.RAMP, Phase.HOLD)),
    ],
)
def test_without_a_comparison_there_is_one_destination(state: State | None) -> None:
    route = route_of("/api/predict_home_price", entries(state))
    assert route["route"]["cluster"] == "house_prices_to_production"
    assert [h["header"]["key"] for h in route["request_headers_to_add"]] == ["x-mlops-assigned"]


def test_a_paused_rollout_keeps_its_split() -> None:
    assert entries(comparing(paused=True)) == entries(comparing())


def test_only_the_compared_product_is_split() -> None:
    found = entries(comparing())
    assert "cluster" in route_of("/api/car", found)["route"]
    assert "weighted_clusters" in route_of("/house_prices/api/predict_home_price", found)["route"]


def test_the_salt_is_of_product_and_rollout() -> None:
    salts = set()
    for rollout in (3, 4):
        action = route_of("/api/predict_home_price", entries(comparing(rollout=rollout)))["route"]
        salts.add(action["hash_policy"][0]["header"]["regex_rewrite"]["substitution"])
    assert salts == {"house_prices-3:", "house_prices-4:"}


def test_the_lowest_slot_has_the_pages_whatever_the_order() -> None:
    assert entries(None, None, CARS, HOUSES) == entries(None, None, HOUSES, CARS)
    assert route_of("/docs", entries())["route"]["cluster"] == "house_prices_to_production"


def test_without_a_token_no_route_looks_for_one() -> None:
    assert not [route for route in entries(comparing()) if "headers" in route["match"]]
    assert [route for route in entries(comparing(), "secret") if "headers" in route["match"]]


def test_equal_states_give_an_equal_version_and_others_another() -> None:
    def version(state: State) -> str:
        return str(gateway.routes((HOUSES,), {"house_prices": state}, operator_token=None)["version_info"])

    assert version(comparing()) == version(comparing())
    assert (
        len({version(comparing()), version(comparing(0.3)), version(comparing(rollout=4)), version(comparing(step=1))})
        == 4
    )


@pytest.mark.parametrize(
    ("upstreams", "said"),
    [
        ((), "at least one product"),
        ((HOUSES, HOUSES), "share the product house_prices"),
        ((HOUSES, gateway.Upstream("b", 0, (), 1, 2)), "house_prices and b share the slot 0"),
        ((HOUSES, gateway.Upstream("b", 1, HOUSES.paths, 1, 2)), "share the path /api/predict_home_price"),
        ((gateway.Upstream("api", 0, (), 1, 2),), "would hide the page /api"),
        ((gateway.Upstream("docs", 0, (), 1, 2),), "would hide the page /docs"),
    ],
)
def test_products_that_cannot_share_a_gateway_are_refused(upstreams: tuple[gateway.Upstream, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        gateway.routes(upstreams, {}, operator_token=None)
    with pytest.raises(ValueError, match=said):
        gateway.bootstrap(
            upstreams, host="127.0.0.1", port=1, metrics_port=2, admin_socket=Path("a"), routes_file=Path("r"),
            failures_log=Path("f"),
        )  # fmt: skip


def test_each_limit_reaches_the_configuration() -> None:
    limits = gateway.Limits(
        body_bytes=11_111, header_kb=12, requests_per_second=13_131, feedback_per_second=14, concurrency=1515,
        connections=1616, heap_bytes=171_717, request_seconds=18.5, try_seconds=1.9, page_try_seconds=2.125,
        connect_seconds=0.21, receive_seconds=22, headers_seconds=23, idle_seconds=24, stream_idle_seconds=25,
        slow_seconds=2.626,
    )  # fmt: skip
    text = json.dumps([boot(limits=limits), gateway.routes((HOUSES,), {}, operator_token=None, limits=limits)])
    for value in ("11111", ": 12,", "13131", ": 14,", "1515", "1616", "171717", "2626"):
        assert value in text, value
    for value in ("18.5s", "1.9s", "2.125s", "0.21s", "22s", "23s", "24s", "25s"):
        assert f'"{value}"' in text, value


@pytest.mark.parametrize(
    ("value", "text"), [(5.0, "5s"), (0.25, "0.25s"), (10, "10s"), (1e-6, "0.000001s"), (100.0, "100s")]
)
def test_durations_are_written_as_envoy_reads_them(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_file_is_private_whole_and_written_only_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"
    assert gateway.write(file, {"a": 1})
    before = file.stat()
    assert not gateway.write(file, {"a": 1})
    assert file.stat().st_ino == before.st_ino
    assert gateway.write(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 2}
    assert file.stat().st_mode & 0o777 == 0o600
    # Renamed into place, which is what Envoy watches for; and nothing is left beside it.
    assert file.stat().st_ino != before.st_ino
    assert [f.name for f in tmp_path.iterdir()] == ["routes.json"]


def test_the_command_runs_one_worker_unless_told(tmp_path: Path) -> None:
    words = gateway.command(Path("/bin/envoy"), tmp_path / "bootstrap.json")
    assert words[words.index("--concurrency") + 1] == "1"
    assert "--disable-hot-restart" in words
    more = gateway.command(Path("/bin/envoy"), tmp_path / "bootstrap.json", concurrency=4)
    assert more[more.index("--concurrency") + 1] == "4"
