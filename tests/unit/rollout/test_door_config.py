"""What the door's configuration must never lack, whoever adds a route to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.rollout import gateway
from mlops_assets.rollout.envoy.door import API, DAGSTER, DOOR_HEADER, EXT_AUTHZ, MLFLOW

TOKEN = "an-inner-token"
DOOR = gateway.Door("127.0.0.1", 8000, 8001, 3000, 5000, TOKEN)


def configured(door: gateway.Door | None) -> dict[str, Any]:
    return gateway.bootstrap(
        [gateway.Upstream("house_prices", 0, ("/api/x",), 6001, 6002)],
        host="127.0.0.1", port=7000, metrics_port=7001, admin_socket=Path("a.sock"),
        routes_file=Path("r.json"), failures_log=Path("f.log"), door=door,
    )  # fmt: skip


@pytest.fixture
def routes() -> list[dict[str, Any]]:
    return routes_of(DOOR)


def routes_of(door: gateway.Door) -> list[dict[str, Any]]:
    (listener,) = (x for x in configured(door)["static_resources"]["listeners"] if x["name"] == "door")
    manager = listener["filter_chains"][0]["filters"][-1]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    return list(host["routes"])


def test_every_way_to_dagster_and_mlflow_asks_who_it_is(routes: list[dict[str, Any]]) -> None:
    behind = [route for route in routes if route.get("route", {}).get("cluster") in (DAGSTER, MLFLOW)]
    assert len(behind) > 2
    for route in behind:
        per_route = route.get("typed_per_filter_config", {}).get(EXT_AUTHZ, {})
        assert not per_route.get("disabled"), route["match"]
        assert {"cookie", "origin"} <= set(route["request_headers_to_remove"])
        (added,) = route["request_headers_to_add"]
        assert added["header"] == {"key": "authorization", "value": f"Bearer {TOKEN}"}
        assert added["append_action"].startswith("OVERWRITE")


def test_the_inner_token_goes_nowhere_else(routes: list[dict[str, Any]]) -> None:
    elsewhere = [route for route in routes if route.get("route", {}).get("cluster") not in (DAGSTER, MLFLOW)]
    assert {route["route"]["cluster"] for route in elsewhere if "route" in route} == {API}
    assert TOKEN not in json.dumps(elsewhere)
    assert TOKEN not in repr(DOOR)


def test_a_control_api_on_another_host_is_shown_that_it_is_the_gateway_that_asks() -> None:
    routes = routes_of(replace(DOOR, behind="orchestrator"))
    (plain,) = (route for route in routes if route.get("route", {}).get("cluster") == API)
    (added,) = plain["request_headers_to_add"]
    assert added == {
        "header": {"key": DOOR_HEADER, "value": TOKEN}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }  # fmt: skip


def test_the_other_listeners_are_what_they_are_without_it() -> None:
    with_door, without = configured(DOOR)["static_resources"], configured(None)["static_resources"]
    assert with_door["listeners"][:2] == without["listeners"]
    assert with_door["clusters"][: len(without["clusters"])] == without["clusters"]
