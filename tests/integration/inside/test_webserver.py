"""Dagster's real webserver behind the guard: who is let in, and what each role may do there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from mlops_assets.api.orchestrator import Orchestrator, OrchestratorError
from mlops_assets.settings import Settings
from tests.integration.inside.conftest import refused

PLACE = 'repositoryName: "__repository__", repositoryLocationName: "jobs"'
# A change, the type that says it was made.
CHANGES = {
    f'startSchedule(scheduleSelector: {{scheduleName: "hourly_schedule", {PLACE}}})': "ScheduleStateResult",
    f'startSensor(sensorSelector: {{sensorName: "looks", {PLACE}}})': "Sensor",
    f'launchRun(executionParams: {{selector: {{jobName: "hourly", {PLACE}}}}})': "LaunchRunSuccess",
    'reloadRepositoryLocation(repositoryLocationName: "jobs")': "WorkspaceLocationEntry",
    'reportRunlessAssetEvents(eventParams: {eventType: ASSET_MATERIALIZATION, assetKey: {path: ["table"]}})': (
        "ReportRunlessAssetEventsSuccess"
    ),
    "reloadWorkspace": "Workspace",
    'wipeAssets(assetPartitionRanges: [{assetKey: {path: ["table"]}}])': "AssetWipeSuccess",
}
ALLOWED = "permissions { permission value }"
PERMISSIONS = f"{{ {ALLOWED} workspaceOrError {{ ... on Workspace {{ locationEntries {{ {ALLOWED} }} }} }} }}"
EVENTS = '{ assetOrError(assetKey: {path: ["table"]}) { ... on Asset { assetMaterializations { timestamp } } } }'
SCHEDULE = f'scheduleOrError(scheduleSelector: {{scheduleName: "hourly_schedule", {PLACE}}})'
STATE = f"{{ {SCHEDULE} {{ ... on Schedule {{ scheduleState {{ status }} }} }} }}"
# Decided elsewhere, for everybody.
NEVER = {"edit_app_managed_components"}


@pytest.fixture
def dagster(webserver: str) -> Iterator[httpx.Client]:
    """Asks without any header of its own."""
    with httpx.Client(base_url=webserver, timeout=60, follow_redirects=False) as client:
        yield client


def asked(dagster: httpx.Client, document: str, headers: dict[str, str]) -> Any:
    answer = dagster.post("/graphql", json={"query": document}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def change(dagster: httpx.Client, document: str, headers: dict[str, str]) -> str:
    """What type a change is answered with."""
    (answer,) = asked(dagster, f"mutation {{ {document} {{ __typename }} }}", headers).values()
    return str(answer["__typename"])


@pytest.mark.parametrize("token", [None, "wrong"])
def test_nobody_gets_in_without_the_token(dagster: httpx.Client, settings: Settings, token: str | None) -> None:
    headers = {"x-mlops-role": "operator", "x-mlops-who": "kim"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    for path in ("/", "/runs", "/server_info", "/graphql", "/favicon.png", "/logs/x", "/livez"):
        refused(dagster.get(path, headers=headers), settings.dagster_url)
    refused(dagster.post("/graphql", json={"query": "{ version }"}, headers=headers), settings.dagster_url)
    refused(dagster.post("/report_asset_materialization/table", headers=headers), settings.dagster_url)


def test_the_probe_is_open_and_says_nothing(settings: Settings, webserver: str) -> None:
    answer = httpx.get(webserver.removesuffix("/dagster") + "/livez")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_pages_and_their_files_are_below_the_path(dagster: httpx.Client, settings: Settings) -> None:
    page = dagster.get("/runs", headers=settings.inner_headers())
    assert page.status_code == 200
    scripts = [part.split('"')[0] for part in page.text.split('src="')[1:]]
    assert scripts
    assert all(script.startswith("/dagster/") for script in scripts)
    found = dagster.get(scripts[0].removeprefix("/dagster"), headers=settings.inner_headers())
    assert found.headers["content-type"].startswith(("application/javascript", "text/javascript"))


@pytest.mark.parametrize("role", ["viewer", "editor", "", "Operator", "viewer, operator", "admin", None])
def test_whoever_is_no_operator_changes_nothing(dagster: httpx.Client, settings: Settings, role: str | None) -> None:
    headers = settings.inner_headers() | ({"x-mlops-role": role} if role is not None else {})
    assert {change(dagster, document, headers) for document in CHANGES} == {"UnauthorizedError"}
    reported = dagster.post("/report_asset_materialization/table", headers=headers)
    assert reported.status_code == 401
    at_once = f'launchMultipleRuns(executionParamsList: [{{selector: {{jobName: "hourly", {PLACE}}}}}])'
    asked(dagster, f"mutation {{ {at_once} {{ __typename }} }}", headers)
    runs = asked(dagster, "{ runsOrError { ... on Runs { results { runId } } } }", headers)["runsOrError"]["results"]
    made = asked(dagster, EVENTS, headers)["assetOrError"]["assetMaterializations"]
    assert (runs, made) == ([], [])


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("editor", False), ("operator", True)])
def test_the_page_is_told_which_buttons_to_grey_out(
    dagster: httpx.Client, settings: Settings, role: str, may: bool
) -> None:
    told = asked(dagster, PERMISSIONS, settings.inner_headers(role))
    (location,) = told["workspaceOrError"]["locationEntries"]
    for permissions in (told["permissions"], location["permissions"]):
        values = {one["permission"]: one["value"] for one in permissions if one["permission"] not in NEVER}
        assert "launch_pipeline_execution" in values
        assert set(values.values()) == {may}


def test_the_platform_itself_reads_and_launches(settings: Settings, webserver: str) -> None:
    with Orchestrator.of(settings) as orchestrator:
        assert orchestrator.location_problems() == {}
        # Another location than the platform's: it gets as far as that.
        with pytest.raises(OrchestratorError, match=r"products|hourly"):
            orchestrator.launch("hourly")
    with Orchestrator(webserver) as stranger, pytest.raises(OrchestratorError, match="401"):
        stranger.location_problems()


def test_graphql_has_no_other_form(dagster: httpx.Client, settings: Settings) -> None:
    operator = settings.inner_headers("operator")
    document = f"mutation {{ {next(iter(CHANGES))} {{ __typename }} }}"
    for answer in (
        dagster.get("/graphql", params={"query": document}, headers=operator),
        dagster.post("/graphql", params={"query": document}, headers=operator),
        dagster.post("/graphql", data={"query": document}, headers=operator),
        dagster.post("/graphql", content=document, headers=operator | {"content-type": "application/graphql"}),
    ):
        assert answer.status_code == 415
    tried = dagster.get("/graphql", params={"query": document}, headers=operator | {"accept": "text/html"})
    assert tried.headers["content-type"].startswith("text/html")
    assert asked(dagster, STATE, operator)["scheduleOrError"]["scheduleState"]["status"] == "STOPPED"


def opened(webserver: str, headers: dict[str, str]) -> ClientConnection:
    address = webserver.replace("http://", "ws://") + "/graphql"
    return connect(address, additional_headers=headers, subprotocols=[Subprotocol("graphql-ws")], proxy=None)


def test_subscriptions_need_the_token(settings: Settings, webserver: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-mlops-role": "operator"}):
        with pytest.raises(InvalidStatus) as told:
            opened(webserver, headers)
        assert told.value.response.status_code == 401
        assert settings.dagster_url in (told.value.response.body or b"").decode()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_a_subscription_answers_and_can_change_nothing(settings: Settings, webserver: str, role: str) -> None:
    with opened(webserver, settings.inner_headers(role)) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(10))["type"] == "connection_ack"
        logs = 'subscription { pipelineRunLogs(runId: "none") { __typename } }'
        start = f"mutation {{ {next(iter(CHANGES))} {{ __typename }} }}"
        for number, document in enumerate((logs, start)):
            socket.send(json.dumps({"type": "start", "id": str(number), "payload": {"query": document}}))
        answers = {told["id"]: told for told in (json.loads(socket.recv(10)) for _ in range(3))}
    failed = answers["0"].get("payload", {}).get("data", {}).get("pipelineRunLogs", {}).get("__typename")
    assert failed == "PipelineRunLogsSubscriptionFailure" or answers["0"]["type"] == "complete"
    assert answers["1"]["type"] == "error"


def test_an_operator_changes_everything(dagster: httpx.Client, settings: Settings) -> None:
    operator = settings.inner_headers("operator")
    assert {document: change(dagster, document, operator) for document in CHANGES} == CHANGES
