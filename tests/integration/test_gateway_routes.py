"""Which service a request reaches through the gateway, what it then carries, and what isn't reachable at all."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import State
from tests.integration.gateway_rig import (
    CANDIDATE,
    CARS,
    HOUSES,
    PREDICT,
    PRODUCTION,
    TOKEN,
    Rig,
    comparing,
    users,
)

FORCE = {"x-mlops-force": CANDIDATE, "x-operator-token": TOKEN}


def seen(rig: Rig, product: str = HOUSES, variant: str = PRODUCTION) -> dict[str, Any]:
    """The last request that a service was asked."""
    return dict(rig.services[product, variant].control()["asked"][-1])


@pytest.mark.parametrize(
    ("path", "product", "inside"),
    [
        (PREDICT, HOUSES, PREDICT),
        (f"{PREDICT}/batch", HOUSES, f"{PREDICT}/batch"),
        ("/api/get_location_names", HOUSES, "/api/get_location_names"),
        ("/api/car", CARS, "/api/car"),
        (f"/{HOUSES}{PREDICT}", HOUSES, PREDICT),
        (f"/{CARS}/api/car?a=1&b=2", CARS, "/api/car?a=1&b=2"),
        (f"/{CARS}/api/feedback", CARS, "/api/feedback"),
        (f"/{CARS}/", CARS, "/"),
        (f"/{CARS}/docs", CARS, "/docs"),
        (f"/{CARS}/docs-files/x.css", CARS, "/docs-files/x.css"),
        ("/", HOUSES, "/"),
        ("/api/feedback", HOUSES, "/api/feedback"),
        ("/api/health", HOUSES, "/api/health"),
        ("/api/metrics?hours=24", HOUSES, "/api/metrics?hours=24"),
        ("/api/form", HOUSES, "/api/form"),
        ("/static/app.js", HOUSES, "/static/app.js"),
        ("/openapi.json", HOUSES, "/openapi.json"),
    ],
)
def test_a_path_reaches_its_product_without_the_prefix(rig: Rig, path: str, product: str, inside: str) -> None:
    answer = rig.ask(path, method="GET")
    assert answer.status_code == 200
    assert seen(rig, product)["path"] == inside


@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/livez", "/readyz", "/healthz", "/stats/prometheus", "/control", "/docs.json"),
        *(f"/{HOUSES}/metrics", f"/{HOUSES}/readyz", f"/{HOUSES}/livez", f"/{HOUSES}/api/../metrics"),
        *(
            "/boats/api/predict",
            "/boats/",
            "/house_prices_2/api/car",
            "//metrics",
            "/api/../readyz",
            "/api/..//metrics",
        ),
        *("/server_info", "/graphql", "/mlflow", "/config_dump"),
    ],
)
def test_everything_else_is_not_found(rig: Rig, path: str) -> None:
    answer = rig.ask(path, method="GET")
    assert (answer.status_code, answer.json()) == (404, {"detail": "not found"})
    assert answer.headers["content-type"] == "application/json"


def test_an_escaped_slash_opens_no_other_path(rig: Rig) -> None:
    answer = rig.ask("/api/x%2f..%2f..%2fmetrics", method="GET")
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail"}


def test_a_product_without_a_slash_is_redirected(rig: Rig) -> None:
    answer = rig.ask(f"/{CARS}?x=1", method="GET")
    assert answer.status_code == 308
    assert answer.headers["location"].endswith(f"/{CARS}/?x=1")


def test_services_get_the_agreed_headers_and_none_that_a_client_made_up(rig: Rig) -> None:
    rig.set(comparing(step=1))
    forged = {
        **{"x-mlops-assigned": "candidate", "x-mlops-rollout": "99", "x-mlops-step": "99", "x-mlops-anything": "1"},
        **{"x-served-by": "me", "x-operator-token": "wrong", "mlops-new-user": "me", "mlops-forced": "candidate"},
        **{"x-request-id": "mine", "x-envoy-max-retries": "9", "x-envoy-upstream-rq-timeout-ms": "1"},
        **{"x-forwarded-for": "203.0.113.9", "cookie": "session=1", "x_mlops_assigned": "candidate"},
    }
    on_production = next(u for u in users(200) if rig.ask(user=u).headers["x-served-by"] == PRODUCTION)
    answer = rig.ask(user=on_production, headers=forged)
    asked = seen(rig)
    headers = asked["headers"]
    assert {name: value for name, value in headers.items() if "mlops" in name} == {
        "x-mlops-assigned": "production",
        "x-mlops-rollout": "3",
        "x-mlops-step": "1",
    }
    assert headers["x-user-id"] == on_production
    assert headers["x-request-id"] == answer.headers["x-request-id"] != "mine"
    assert not {"cookie", "x-operator-token", "x-served-by"} & set(headers)
    assert not [name for name in headers if name.startswith("x-envoy")]
    assert {name: value for name, value in headers.items() if "forwarded" in name} == {"x-forwarded-proto": "http"}
    assert len(asked["names"]) == len(set(asked["names"]))


@pytest.mark.parametrize(
    "phase", [Phase.SHADOW, Phase.PROMOTING, Phase.WATCH, Phase.DONE, Phase.ROLLED_BACK, Phase.EXPIRED]
)
def test_outside_a_comparison_everybody_is_on_production(rig: Rig, phase: Phase) -> None:
    rig.set(comparing(phase=phase))
    assert rig.counted(users(100)) == {(200, PRODUCTION): 100}
    assert rig.ask(PREDICT).status_code == 200
    assert {k: v for k, v in seen(rig)["headers"].items() if "mlops" in k} == {"x-mlops-assigned": "production"}


def test_answers_carry_the_services_headers_and_hide_what_runs_here(rig: Rig) -> None:
    answer = rig.ask()
    assert (answer.headers["x-served-by"], answer.headers["x-model-version"]) == (PRODUCTION, "7")
    assert not {"server", "x-powered-by", "via"} & set(answer.headers)
    assert not [name for name in answer.headers if name.startswith("x-envoy")]


def test_a_new_visitor_gets_a_number_that_this_request_already_uses(rig: Rig) -> None:
    rig.set(comparing(0.5))
    with httpx.Client(base_url=rig.url) as visitor:
        first = visitor.get("/api/health")
        cookie = first.headers["set-cookie"]
        number = visitor.cookies["mlops_user"]
        asked = seen(rig, variant=first.headers["x-served-by"])
        later = [visitor.get("/api/health") for _ in range(20)]
    assert asked["headers"]["x-user-id"] == number
    assert cookie == f"mlops_user={number}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax"
    assert {answer.headers["x-served-by"] for answer in later} == {first.headers["x-served-by"]}
    assert not any("set-cookie" in answer.headers for answer in later)


def test_new_visitors_are_told_apart_and_not_by_the_request_id(rig: Rig) -> None:
    answers = [rig.ask(user=None) for _ in range(20)]
    numbers = {answer.cookies["mlops_user"] for answer in answers}
    assert len(numbers) == 20
    assert not numbers & {answer.headers["x-request-id"] for answer in answers}


def test_a_given_user_counts_before_the_cookie(rig: Rig) -> None:
    rig.ask(user="bob", headers={"cookie": "mlops_user=from-the-cookie"})
    assert seen(rig)["headers"]["x-user-id"] == "bob"
    rig.ask(user=None, headers={"cookie": "a=1; mlops_user=from-the-cookie; b=2"})
    assert seen(rig)["headers"]["x-user-id"] == "from-the-cookie"


@pytest.mark.parametrize("cookie", ["mlops_user=", "mlops_user=%20", "not_mlops_user=abc", f"mlops_user={'a' * 65}"])
def test_a_cookie_that_is_not_ours_is_replaced(rig: Rig, cookie: str) -> None:
    answer = rig.ask(user=None, headers={"cookie": cookie})
    number = seen(rig)["headers"]["x-user-id"]
    assert len(number) == 36
    assert answer.cookies["mlops_user"] == number


def test_a_very_long_user_is_refused(rig: Rig) -> None:
    assert rig.ask(user="u" * 256).status_code == 200
    answer = rig.ask(user="u" * 257)
    assert (answer.status_code, answer.json()) == (400, {"detail": "x-user-id: more than 256 bytes"})


def test_an_operator_can_ask_either_service(rig: Rig) -> None:
    for state in (State(HOUSES, production=1), comparing(0.01)):
        rig.set(state)
        for variant in (PRODUCTION, CANDIDATE):
            answer = rig.ask(headers=FORCE | {"x-mlops-force": variant})
            headers = seen(rig, variant=variant)["headers"]
            assert answer.headers["x-served-by"] == variant
            assert headers["x-mlops-assigned"] == "forced"
            assert not [value for value in headers.values() if TOKEN in value]
            assert ("x-mlops-rollout" in headers) == state.comparing


def test_nobody_stands_in_for_a_service_that_an_operator_asked(rig: Rig) -> None:
    rig.services[HOUSES, CANDIDATE].control(mode="fail")
    answer = rig.ask(headers=FORCE)
    assert (answer.status_code, answer.headers["x-served-by"]) == (500, CANDIDATE)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-mlops-force": CANDIDATE},
        {"x-mlops-force": CANDIDATE, "x-operator-token": ""},
        {"x-mlops-force": CANDIDATE, "x-operator-token": TOKEN[:-1]},
        {"x-mlops-force": CANDIDATE, "x-operator-token": f"{TOKEN}x"},
        {"x-mlops-force": CANDIDATE, "x-operator-token": TOKEN.upper()},
        {"x-mlops-force": "standby", "x-operator-token": TOKEN},
    ],
)
def test_without_the_right_token_the_force_header_is_ignored(rig: Rig, headers: dict[str, str]) -> None:
    answer = rig.ask(headers=headers)
    assert (answer.status_code, answer.headers["x-served-by"]) == (200, PRODUCTION)
    found = seen(rig)["headers"]
    assert found["x-mlops-assigned"] == "production"
    assert "x-operator-token" not in found


def test_without_a_token_configured_nothing_forces(rig: Rig) -> None:
    rig.token = None
    try:
        rig.set()
        for token in ({}, {"x-operator-token": ""}, {"x-operator-token": TOKEN}, {"x-operator-token": "None"}):
            answer = rig.ask(headers={"x-mlops-force": CANDIDATE, **token})
            assert answer.headers["x-served-by"] == PRODUCTION
    finally:
        rig.token = TOKEN
