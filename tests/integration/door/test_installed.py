"""The real webserver of Dagster and the real MLflow through an installation's own door, by scripts and in a browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Response, expect
from websockets.sync.client import connect

from mlops_assets.access import mlflow_rules, tokens
from mlops_assets.access.roles import Role
from mlops_assets.api.auth import COOKIE
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.browser import open_tab
from tests.integration.door.door_rig import BY, OPERATORS_TOKEN
from tests.servers import child_environment

# Prints what MLflow serves: each route with its methods, and the fields of its GraphQL's mutations.
ROUTES = """
import json
from mlflow.server import app as flask
from mlflow.server.fastapi_app import app
from mlflow.server.graphql.graphql_schema_extensions import schema
found = [[sorted(rule.methods), str(rule)] for rule in flask.url_map.iter_rules()]
def walk(routes):
    for route in routes:
        if getattr(route, "methods", None):
            found.append([sorted(route.methods), route.path])
        walk(getattr(getattr(route, "original_router", route), "routes", None) or [])
walk(app.routes)
print(json.dumps([found, sorted(schema.graphql_schema.mutation_type.fields)]))
"""
RELOADS = "mutation Reload { reloadWorkspace { __typename } }"
SUBSCRIBE = 'subscription S { pipelineRunLogs(runId: "none", cursor: null) { __typename } }'


@pytest.fixture
def people(installed: FastAPI, settings: Settings, tables: Database) -> Iterator[dict[Role, httpx.Client]]:
    """Holders of issued tokens."""
    clients = {}
    for role in Role:
        token = tokens.create(tables, BY, f"a-{role}", role)
        headers = {"authorization": f"Bearer {token}"}
        clients[role] = httpx.Client(base_url=settings.api_url, headers=headers, timeout=30, trust_env=False)
    yield clients
    for role, client in clients.items():
        client.close()
        tokens.revoke(tables, BY, f"a-{role}")


def session_of(settings: Settings, client: httpx.Client) -> str:
    """Signs in with the client's token."""
    token = client.headers["authorization"].removeprefix("Bearer ")
    answer = client.post("/session", json={"token": token}, headers={"X-Requested-With": "mlops"})
    assert answer.status_code == 204, answer.text
    return str(answer.cookies[COOKIE])


def ask(client: httpx.Client, query: str, **variables: Any) -> httpx.Response:
    return client.post("/dagster/graphql", json={"query": query, "variables": variables})


def test_dagster_answers_everybody_and_operators_change_it(people: dict[Role, httpx.Client]) -> None:
    for role, client in people.items():
        assert ask(client, "{ version }").json()["data"]["version"]
        answer = ask(client, RELOADS)
        if role is Role.OPERATOR:
            assert answer.status_code == 200, answer.text
            assert answer.json()["data"]["reloadWorkspace"]["__typename"] == "Workspace"
        else:
            assert answer.status_code == 403
        granted = ask(client, "{ permissions { permission value } }").json()["data"]["permissions"]
        assert {entry["value"] for entry in granted} >= ({True} if role is Role.OPERATOR else {False})
        assert not any(entry["value"] for entry in granted if role is not Role.OPERATOR)


def test_dagsters_websocket_answers_through_the_door(people: dict[Role, httpx.Client], settings: Settings) -> None:
    session = session_of(settings, people[Role.VIEWER])
    with connect(
        settings.api_url.replace("http", "ws") + "/dagster/graphql",
        additional_headers={"cookie": f"{COOKIE}={session}"},
        origin=settings.api_url,  # type: ignore[arg-type]
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
        proxy=None,
    ) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(10)) == {"type": "connection_ack"}
        socket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": SUBSCRIBE}}))
        answer = json.loads(socket.recv(20))
        assert answer["payload"]["data"]["pipelineRunLogs"]["__typename"] == "PipelineRunLogsSubscriptionFailure"


def test_mlflows_own_client_works_through_the_door_by_role(
    people: dict[Role, httpx.Client], settings: Settings, tmp_path: Path
) -> None:
    """A script needs the door's address and a token in MLflow's own variables, and nothing of ours."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, mlflow\n"
        "client = mlflow.MlflowClient()\n"
        "if sys.argv[1] == 'write':\n"
        "    name = client.create_experiment('through the door')\n"
        "    run = client.create_run(name)\n"
        "    client.log_text(run.info.run_id, 'hello', 'a folder/a file.txt')\n"
        "    client.log_metric(run.info.run_id, 'x', 1.5)\n"
        "names = [e.experiment_id for e in client.search_experiments(filter_string=\"name = 'through the door'\")]\n"
        "(run,) = client.search_runs(names)\n"
        "print(run.data.metrics['x'], mlflow.artifacts.load_text(run.info.artifact_uri + '/a folder/a file.txt'))\n"
    )

    def run(role: Role, what: str) -> subprocess.CompletedProcess[str]:
        token = people[role].headers["authorization"].removeprefix("Bearer ")
        given = {"MLFLOW_TRACKING_URI": f"{settings.api_url}/mlflow", "MLFLOW_TRACKING_TOKEN": token}
        given |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "NO_PROXY": "*"}
        command = [sys.executable, str(script), what]
        return subprocess.run(command, env=child_environment(given), capture_output=True, text=True, timeout=120)

    refused = run(Role.EDITOR, "write")
    assert "needs the role operator" in refused.stderr
    written = run(Role.OPERATOR, "write")
    assert written.stdout == "1.5 hello\n", written.stderr
    assert run(Role.VIEWER, "read").stdout == "1.5 hello\n"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_both_are_usable_in_a_browser_after_one_sign_in(
    browser: Browser, people: dict[Role, httpx.Client], settings: Settings, role: Role
) -> None:
    session = session_of(settings, people[role])
    cookie = {"name": COOKIE, "value": session, "domain": settings.host, "path": "/", "sameSite": "Strict"}
    signed_in: Any = {"cookies": [cookie], "origins": []}
    with open_tab(browser, f"{settings.api_url}/dagster", storage_state=signed_in) as tab:
        refused: list[str] = []

        def keep(got: Response) -> None:
            # 404 is MLflow's own word for what it doesn't have.
            if got.status >= 400 and got.status != 404:
                refused.append(f"{got.status} {got.request.method} {got.url}")

        tab.page.on("response", keep)
        tab.page.goto(f"{settings.api_url}/dagster/locations/jobs/jobs/hourly")
        launching = tab.page.get_by_role("tab", name="Launchpad", disabled=role is not Role.OPERATOR)
        expect(launching).to_be_visible(timeout=30_000)
        tab.page.goto(f"{settings.api_url}/mlflow/")
        expect(tab.page.get_by_text("Experiments").first).to_be_visible(timeout=30_000)
        tab.page.goto(f"{settings.api_url}/mlflow/#/models")
        expect(tab.page.get_by_text("Registered Models").first).to_be_visible(timeout=30_000)
    # The one that is in nobody's reach.
    assert [told for told in refused if "/mlflow/ajax-api/3.0/mlflow/assistant/" not in told] == []


def test_a_browser_that_nobody_knows_gets_where_it_wanted_by_signing_in(
    browser: Browser, people: dict[Role, httpx.Client], settings: Settings
) -> None:
    token = people[Role.VIEWER].headers["authorization"].removeprefix("Bearer ")
    with open_tab(browser, f"{settings.api_url}/dagster/locations/jobs/jobs/hourly?x=1") as tab:
        expect(tab.page).to_have_url(re.compile("/sign-in"))
        tab.page.locator("#token").fill(token)
        tab.page.locator("#token").press("Enter")
        expect(tab.page).to_have_url(re.compile(r"/dagster/locations/jobs/jobs/hourly"), timeout=30_000)
        expect(tab.page.get_by_role("tab", name="Launchpad", disabled=True)).to_be_visible(timeout=30_000)


def test_who_may_ask_what_of_mlflow_fits_the_mlflow_that_is_installed() -> None:
    given = child_environment({"MLFLOW_BACKEND_STORE_URI": "sqlite://", "MLFLOW_DISABLE_TELEMETRY": "true"})
    ran = subprocess.run([sys.executable, "-c", ROUTES], env=given, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    routes, mutations = json.loads(ran.stdout.splitlines()[-1])
    posts = {path for methods, path in routes if "POST" in methods}
    reading = {path for path in posts if mlflow_rules.only_reads("POST", path)}
    unknown = {
        path.rpartition("api/")[2]
        for path in posts - reading
        if path.endswith(("/search", "/get", "/list")) or "/get-latest" in path
    }
    assert unknown == set(), "MLflow has searches that only operators can use: are they mere reading?"
    for path in mlflow_rules.READING_POSTS:
        assert {f"/api/{path}", f"/ajax-api/{path}"} & reading, f"MLflow has no POST {path} any more"
    # Nothing in it changes anything; else viewers couldn't be let to it.
    assert mutations == ["mlflowSearchDatasets", "mlflowSearchRuns", "testMutation"]
    assert any("assistant" in path for _, path in routes)
    assert all(mlflow_rules.forbidden(path) for _, path in routes if "/assistant" in path)


def test_the_installations_own_token_opens_both(installed: FastAPI, settings: Settings) -> None:
    bearer = {"authorization": f"Bearer {OPERATORS_TOKEN}"}
    with httpx.Client(base_url=settings.api_url, headers=bearer, timeout=30, trust_env=False) as client:
        assert client.get("/dagster/server_info").json()["dagster_version"]
        assert client.get("/mlflow/version").status_code == 200
    with httpx.Client(timeout=30, trust_env=False) as nobody:
        assert nobody.get(f"{settings.dagster_server_url}/server_info").status_code == 401
        assert nobody.get(f"{settings.mlflow_server_url}/version").status_code == 401
