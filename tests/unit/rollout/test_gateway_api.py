"""HTTPRoutes as made from products and ledger states."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_assets.rollout.envoy.routes import WHOLE
from mlops_assets.rollout.gateway import Upstream
from mlops_assets.rollout.gateway_api import MOST_MATCHES, Attachment, http_routes
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import State

HOUSES = Upstream("house_prices", 0, ("/api/predict_home_price", "/api/get_location_names"), 6001, 6002)
CARS = Upstream("car_prices", 1, ("/api/car",), 6011, 6012)
PUBLIC = Attachment("public", "gateways", "https", ("predictions.example.org",))


def comparing(share: float = 0.2, **more: Any) -> State:
    given: dict[str, Any] = {"production": 1, "candidate": 2, "rollout": 3, "step": 1, "phase": Phase.RAMP}
    return State(product="house_prices", candidate_share=share, **given | more)


def route(state: State | None = None, attachment: Attachment = PUBLIC) -> dict[str, Any]:
    return http_routes([CARS, HOUSES], {state.product: state} if state else {}, attachment)[0]


def weights(rule: dict[str, Any]) -> dict[int, int]:
    return {backend["port"]: backend["weight"] for backend in rule["backendRefs"]}


def assigned(rule: dict[str, Any]) -> dict[int, str]:
    return {
        backend["port"]: change["value"]
        for backend in rule["backendRefs"]
        for each in backend["filters"]
        for change in each["requestHeaderModifier"]["set"]
    }


@pytest.mark.parametrize("share", [0.2, 0.00001, 0.99999, 1.0])
def test_weights_follow_the_ledger_and_leave_neither_side_empty(share: float) -> None:
    for rule in route(comparing(share))["spec"]["rules"]:
        found = weights(rule)
        assert set(found) == {6001, 6002}
        assert sum(found.values()) == WHOLE
        assert min(found.values()) > 0
        assert assigned(rule) == {6001: "production", 6002: "candidate"}
    assert weights(route(comparing(0.2))["spec"]["rules"][0]) == {6001: 8000, 6002: 2000}


@pytest.mark.parametrize(
    "state",
    [None, State("house_prices", production=1), comparing(0.0), comparing(phase=Phase.SHADOW), comparing(rollout=None)],
)
def test_without_a_comparison_production_is_the_only_backend(state: State | None) -> None:
    # A candidate of weight 0 would keep the users whose cookie names it.
    for rule in route(state)["spec"]["rules"]:
        assert set(weights(rule)) == {6001}
        assert "sessionPersistence" not in rule


def test_a_rollout_has_a_cookie_of_its_own() -> None:
    names = {
        rule["sessionPersistence"]["sessionName"]
        for number in (3, 4)
        for rule in route(comparing(rollout=number))["spec"]["rules"]
    }
    assert names == {"mlops-house-prices-3", "mlops-house-prices-4"}
    plain = Attachment("public", sessions=False)
    assert not [rule for rule in route(comparing(), plain)["spec"]["rules"] if "sessionPersistence" in rule]


def test_services_are_told_what_the_ledger_says_and_not_what_clients_claim() -> None:
    rule = route(comparing())["spec"]["rules"][0]
    [changed] = [f["requestHeaderModifier"] for f in rule["filters"] if f["type"] == "RequestHeaderModifier"]
    told = {each["name"]: each["value"] for each in changed["set"]}
    assert told == {"x-mlops-rollout": "3", "x-mlops-step": "1"}
    assert set(changed["remove"]) == {"x-mlops-force", "x-operator-token"}
    [quiet] = [f["requestHeaderModifier"] for f in route()["spec"]["rules"][0]["filters"]]
    assert {"x-mlops-rollout", "x-mlops-step"} < set(quiet["remove"])


def test_a_product_is_asked_by_its_paths_and_below_its_name() -> None:
    own, below, feedback = route()["spec"]["rules"]
    assert [match["path"] for match in own["matches"]] == [
        {"type": "Exact", "value": "/api/predict_home_price"},
        {"type": "Exact", "value": "/api/get_location_names"},
    ]
    assert below["matches"] == [{"path": {"type": "PathPrefix", "value": "/house_prices/api"}}]
    assert below["filters"][-1]["urlRewrite"]["path"]["replacePrefixMatch"] == "/api"
    assert feedback["matches"][0]["path"]["value"] == "/api/feedback"


def test_only_the_first_product_has_paths_without_a_name() -> None:
    houses, cars = http_routes([CARS, HOUSES], {}, PUBLIC)
    assert [len(each["spec"]["rules"]) for each in (houses, cars)] == [3, 2]
    assert [each["metadata"]["name"] for each in (houses, cars)] == ["house-prices", "car-prices"]


def test_routes_belong_to_the_gateway_that_was_named() -> None:
    spec = route()["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    assert spec["hostnames"] == ["predictions.example.org"]
    near = route(attachment=Attachment("public"))["spec"]
    assert near["parentRefs"] == [{"name": "public"}]
    assert "hostnames" not in near


def test_equal_states_give_equal_routes() -> None:
    assert json.dumps(route(comparing())) == json.dumps(route(comparing()))


def test_more_paths_than_a_rule_matches_are_refused() -> None:
    many = Upstream("many", 0, tuple(f"/api/{number}" for number in range(MOST_MATCHES + 1)), 6001, 6002)
    with pytest.raises(ValueError, match="product many"):
        http_routes([many], {}, PUBLIC)
