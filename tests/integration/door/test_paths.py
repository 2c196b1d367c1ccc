"""Which paths lead where, however they are written: Dagster and MLflow are reached by their own, asked for sign-in."""

from __future__ import annotations

import pytest

from mlops_assets.api.door import SIGN_IN_PATH
from mlops_assets.rollout.envoy.door import DOOR_HEADER
from tests.integration.door.door_rig import INNER_TOKEN, OPERATORS_TOKEN, Rig

# Paths that mean Dagster's or MLflow's, and what these get to see.
REACHED = {
    "/dagster/": ("dagster", "/dagster/"),
    "/dagster/runs/1?x=%2F": ("dagster", "/dagster/runs/1"),
    "//dagster///runs": ("dagster", "/dagster/runs"),
    "/./dagster/./runs": ("dagster", "/dagster/runs"),
    "/mlflow/../dagster/runs": ("dagster", "/dagster/runs"),
    "/d%61gster/runs": ("dagster", "/dagster/runs"),
    "/dagster/a%20b": ("dagster", "/dagster/a b"),
    "/mlflow/": ("mlflow", "/"),
    "/mlflow/static-files/x.js": ("mlflow", "/static-files/x.js"),
    "/mlflow/static-files/../get-artifact": ("mlflow", "/get-artifact"),
    "/mlflow//ajax-api/2.0/mlflow/runs/get": ("mlflow", "/ajax-api/2.0/mlflow/runs/get"),
    "/dagster/%2e%2e/mlflow/x": ("mlflow", "/x"),
    "/mlflow/dagster/graphql": ("mlflow", "/dagster/graphql"),
}
# Paths that are nobody's, or could be read in two ways.
NOT_REACHED = [
    *("/dagster/..%2fx", "/dagster%2fgraphql", "/dagster/%2F", "/mlflow/%5cx", "/mlflow/a%5Cb"),
    *("/dagster/%252e%252e/x", "/dagster/graph%2571l", "/mlflow/%2500", "/dagster/%00", "/dagster/a%0ab"),
    *("/Dagster/x", "/DAGSTER/graphql", "/dagster.", "/dagsters/x", "/mlflowx", "/xmlflow/", "/dagster/../x"),
    *("/dagster;x=1/graphql", "/dagster/;/graphql", "/mlflow/a;b", "/mlflow/%3bx", "/dagster/../../etc/passwd"),
    *("/%64agster%2fx", "/dagster%00/graphql", "/api/../dagster%2f", "/dagster%20/x"),
]


@pytest.mark.parametrize("target", REACHED)
def test_one_meaning_however_it_is_written(rig: Rig, target: str) -> None:
    name, path = REACHED[target]
    assert rig.raw(target).status == 200
    assert [(seen.path) for seen in (rig.dagster if name == "dagster" else rig.mlflow).seen] == [path]
    assert len(rig.dagster.seen) + len(rig.mlflow.seen) == 1


@pytest.mark.parametrize("target", REACHED)
def test_however_it_is_written_nobody_gets_in_unknown(rig: Rig, target: str) -> None:
    assert rig.raw(target, authorization="").status == 401
    assert rig.raw(target, authorization="", method="POST").status == 401
    assert (rig.dagster.seen, rig.mlflow.seen) == ([], [])


@pytest.mark.parametrize("target", NOT_REACHED)
def test_what_could_be_read_in_two_ways_reaches_nothing(rig: Rig, target: str) -> None:
    assert rig.raw(target).status in (400, 404)
    assert (rig.dagster.seen, rig.mlflow.seen) == ([], [])


@pytest.mark.parametrize(
    "target", ["/dagster/a\\b", "/dagster\\..\\mlflow\\x", "/mlflow/..;/dagster/x", "http://x/dagster/x"]
)
def test_whatever_is_made_of_a_path_is_what_was_asked_about(rig: Rig, target: str) -> None:
    assert rig.raw(target, authorization="").status in (400, 401, 404)
    assert (rig.dagster.seen, rig.mlflow.seen) == ([], [])


@pytest.mark.parametrize("name", ["dagster", "mlflow"])
def test_without_the_slash_it_is_found_as_well(rig: Rig, name: str) -> None:
    answer = rig.raw(f"/{name}", host="console.example.org")
    assert (answer.status, answer.headers.get_all("location")) == (308, [f"/{name}/"])


@pytest.mark.parametrize("path", ["/dagster/", "/mlflow/x", "/x", ""])
@pytest.mark.parametrize("start", [SIGN_IN_PATH, "/api//v1/door", "/api/v1/d%6Fo%72", "/x/../api/v1/door"])
def test_the_gateways_own_question_cannot_be_asked_through_it(rig: Rig, start: str, path: str) -> None:
    answer = rig.raw(start + path, **{DOOR_HEADER: INNER_TOKEN})
    assert answer.status == 404
    assert b"there is nothing here" in answer.body  # type: ignore[attr-defined]


def test_nor_by_those_who_reach_the_control_api_itself(rig: Rig) -> None:
    rig.port, own = rig.api_port, rig.port
    try:
        for shown in ({}, {DOOR_HEADER: "x"}, {DOOR_HEADER: OPERATORS_TOKEN}, {DOOR_HEADER: "\xff"}):
            assert rig.raw(f"{SIGN_IN_PATH}/dagster/graphql", "POST", **shown).status == 404
        assert rig.raw(f"{SIGN_IN_PATH}/dagster/", **{DOOR_HEADER: INNER_TOKEN}).status == 200
        assert rig.raw(f"{SIGN_IN_PATH}/api/v1/tokens", **{DOOR_HEADER: INNER_TOKEN}).status == 404
    finally:
        rig.port = own
