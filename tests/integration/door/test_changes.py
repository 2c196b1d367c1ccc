"""Changes of Dagster and MLflow through the door: by operators only, and each in the audit."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from mlops_assets.access import audit
from mlops_assets.access.audit import Filters
from mlops_assets.access.roles import Role
from mlops_assets.rollout.envoy.door import GRAPHQL_BYTES
from tests.integration.door.door_rig import LARGE, OPERATORS_TOKEN, Rig, query

LAUNCH = "mutation LaunchIt($x: String!) { launchRun(x: $x) { __typename } }"
REFUSED = [Role.VIEWER, Role.EDITOR]


def noted(rig: Rig) -> list[tuple[Any, ...]]:
    """What is in the audit of the door, the newest first."""
    found = audit.page(rig.database, Filters(), 50)
    return [
        (entry.who, entry.action, entry.object, entry.outcome, entry.details)
        for entry in found
        if entry.action in ("dagster.change", "mlflow.change")
    ]


@pytest.mark.parametrize("role", REFUSED)
def test_viewers_and_editors_read_both_and_change_neither(rig: Rig, role: Role) -> None:
    with rig.client(role) as client:
        for body in (query("{ version }"), query("query Q { runsOrError { __typename } }", variables={"a": 1})):
            assert client.post("/dagster/graphql?op=Q", json=body).status_code == 200
        assert client.post("/mlflow/ajax-api/2.0/mlflow/runs/search", json={}).status_code == 200
        assert client.post("/mlflow/graphql", json=query("{ x }")).status_code == 200
        assert client.get("/mlflow/get-artifact?path=x").status_code == 200
        seen = len(rig.dagster.seen), len(rig.mlflow.seen)
        refused = [
            client.post("/dagster/graphql", json=query(LAUNCH)),
            client.post("/dagster/graphql", json=query("{ version } " + LAUNCH, operationName=None)),
            client.post("/dagster/report_asset_materialization/a", json={}),
            client.post("/dagster/graphql/", json=query(LAUNCH)),
            client.post("/mlflow/api/2.0/mlflow/runs/delete", json={"run_id": "x"}),
            client.put("/mlflow/api/2.0/mlflow-artifacts/artifacts/x", content=b"x"),
            client.delete("/mlflow/api/2.0/mlflow/model-versions/delete"),
            client.get("/mlflow/api/2.0/mlflow/webhooks"),
        ]
        for answer in refused:
            assert answer.status_code == 403, answer.request.url
            assert answer.json()["detail"] == f"this needs the role operator; 'an-{role}' has the role {role}"
        assert (len(rig.dagster.seen), len(rig.mlflow.seen)) == seen
    assert noted(rig)[:2] == [
        (f"an-{role}", "mlflow.change", "DELETE /api/2.0/mlflow/model-versions/delete", "refused", {}),
        (f"an-{role}", "mlflow.change", "PUT /api/2.0/mlflow-artifacts/artifacts/x", "refused", {}),
    ]


def test_nobody_uses_the_assistant_of_mlflow(rig: Rig) -> None:
    for path in ("assistant/message", "assistant/config", "assistan%74/skills/install", "x/../assistant/providers"):
        answer = rig.raw(f"/mlflow/ajax-api/3.0/mlflow/{path}", "POST")
        assert answer.status == 403, path
    assert rig.mlflow.seen == []


def test_operators_change_both_and_the_audit_says_so_without_values(rig: Rig) -> None:
    secret = "the-value-of-a-run"
    with rig.client(Role.OPERATOR, headers={"x-request-id": "the-one"}) as client:
        assert client.post("/dagster/graphql", json=query(LAUNCH, variables={"x": secret})).status_code == 200
        assert client.post("/mlflow/api/2.0/mlflow/runs/set-tag", json={"value": secret}).status_code == 200
        assert client.post("/dagster/report_asset_check/a/b?token=" + secret, json={}).status_code == 200
    assert rig.dagster.seen[0].size > 0
    assert noted(rig)[:3] == [
        ("an-operator", "dagster.change", "POST /report_asset_check/a/b", "passed", {}),
        ("an-operator", "mlflow.change", "POST /api/2.0/mlflow/runs/set-tag", "passed", {}),
        ("an-operator", "dagster.change", "launchRun", "passed", {"operation": "LaunchIt"}),
    ]
    with rig.client(headers={"authorization": f"Bearer {OPERATORS_TOKEN}"}) as client:
        page = client.get("/api/v1/audit", params={"outcome": "passed", "limit": 3}).json()["entries"]
    assert [entry["request_id"] for entry in page] == ["the-one"] * 3
    with rig.database.session() as session:
        assert (
            session.scalar(text("SELECT count(*) FROM mlops.audit WHERE audit::text LIKE :x"), {"x": f"%{secret}%"})
            == 0
        )


def test_reading_leaves_no_trace_in_the_audit(rig: Rig) -> None:
    before = noted(rig)
    with rig.client(Role.OPERATOR) as client:
        client.post("/dagster/graphql", json=query("{ version }"))
        client.post("/mlflow/graphql", json=query("{ x }"))
        client.get("/mlflow/")
    assert noted(rig) == before


def hidden(client: httpx.Client) -> list[httpx.Response]:
    """Requests in which Dagster could find a mutation that isn't where pages put one."""
    path, form = "/dagster/graphql", {"content-type": "application/x-www-form-urlencoded"}
    body = '{"query": "{ version }"}'.encode("utf-16")
    return [
        client.get(path, params={"query": LAUNCH}),
        client.get(path, params={"query": LAUNCH}, headers={"accept": "text/html"}),
        client.get(path, params={"query": LAUNCH}, headers={"upgrade": "websocket"}),
        client.head(path, params={"query": LAUNCH}),
        client.post(path, params={"query": LAUNCH}, headers=form),
        client.post(path, params={"query": LAUNCH}),
        client.post(path, content=LAUNCH, headers={"content-type": "application/graphql"}),
        client.post(path, content=body, headers=[("content-type", "application/json"), ("content-type", "text/html")]),
        client.put(path, json=query(LAUNCH)),
        client.post(path, content=b"\0" * 100, headers={"content-type": "application/json"}),
        client.post(path, json=[query(LAUNCH)]),
        client.post(path, json=query("{ version }" + " " * GRAPHQL_BYTES + LAUNCH)),
    ]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_a_change_hides_nowhere_from_the_audit(rig: Rig, role: Role) -> None:
    with rig.client(role) as client:
        for answer in hidden(client):
            assert answer.status_code in (400, 405, 413, 415), answer.request.headers
    assert rig.dagster.seen == []


def test_large_questions_to_dagster_and_large_files_of_mlflow_pass(rig: Rig) -> None:
    with rig.client(Role.OPERATOR) as client:
        large = query("{ version }", variables={"partitions": "x" * 1_000_000})
        assert client.post("/dagster/graphql", json=large).status_code == 200
        assert rig.dagster.seen[-1].size > 1_000_000
        artifact = "/mlflow/api/2.0/mlflow-artifacts/artifacts/x"
        assert client.put(artifact, content=(b"x" * 65536 for _ in range(LARGE // 65536))).status_code == 200
        assert rig.mlflow.seen[-1].size == LARGE
        assert len(client.get("/mlflow/large").content) == LARGE


def test_a_change_that_cannot_be_noted_is_not_let_in(rig: Rig) -> None:
    with rig.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mlops.audit RENAME TO audit_away"))
    try:
        with rig.client(Role.OPERATOR) as client:
            answer = client.post("/dagster/graphql", json=query(LAUNCH))
            assert answer.status_code == 503
            assert "can't be checked" in answer.json()["detail"]
            assert client.post("/dagster/graphql", json=query("{ version }")).status_code == 200
    finally:
        with rig.database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE mlops.audit_away RENAME TO audit"))
    assert len(rig.dagster.seen) == 1
