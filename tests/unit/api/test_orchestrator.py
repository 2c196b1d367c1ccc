"""The GraphQL client: what it sends, what it makes of answers, and what it says of a Dagster that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mlops_assets.api.orchestrator import Orchestrator, OrchestratorError


def client(answer: Callable[[dict[str, Any]], Any]) -> Orchestrator:
    """A client whose Dagster is `answer`: GraphQL body in, data out."""

    def handle(request: httpx.Request) -> httpx.Response:
        found = answer(json.loads(request.content))
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json={"data": found})

    return Orchestrator("http://dagster", transport=httpx.MockTransport(handle))


def test_launch_sends_config_and_tags_and_returns_the_run() -> None:
    sent: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> Any:
        sent.append(body["variables"]["params"])
        return {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "r1"}}}

    assert client(answer).launch("a_job", {"ops": {}}, {"who": "me"}) == "r1"
    assert sent[0]["selector"]["jobName"] == "a_job"
    assert sent[0]["executionMetadata"]["tags"] == [{"key": "who", "value": "me"}]


@pytest.mark.parametrize(
    "refusal",
    [
        {"__typename": "PipelineNotFoundError", "message": "no such job"},
        {"__typename": "RunConfigValidationInvalid", "errors": [{"message": "no such job"}]},
    ],
)
def test_a_refused_launch_says_which_job_and_why(refusal: dict[str, Any]) -> None:
    with pytest.raises(OrchestratorError, match="a_job: no such job"):
        client(lambda _: {"launchRun": refusal}).launch("a_job")


@pytest.mark.parametrize(
    "broken",
    [
        httpx.Response(502),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"errors": [{"message": "boom"}]}),
    ],
)
def test_a_broken_answer_is_one_clear_error(broken: httpx.Response) -> None:
    with pytest.raises(OrchestratorError):
        client(lambda _: broken).status("r1")


def test_following_a_run_reads_every_page_also_after_the_last_status() -> None:
    pages = {None: ("c1", True, ["one", "two"]), "c1": ("c2", False, ["three"])}

    def answer(body: dict[str, Any]) -> Any:
        if "Status" in body["query"]:
            return {"runOrError": {"__typename": "Run", "status": "SUCCESS"}}
        cursor, more, messages = pages[body["variables"]["cursor"]]
        events = [{"__typename": "LogMessageEvent", "message": m, "timestamp": "1000"} for m in messages]
        return {
            "logsForRun": {
                "__typename": "EventConnection",
                "cursor": cursor,
                "hasMore": more,
                "events": events,
            }
        }

    found = [event.message for event in client(answer).follow("r1", timeout_seconds=5)]
    assert found == ["one", "two", "three"]


def test_a_run_that_never_ends_is_given_up() -> None:
    def answer(body: dict[str, Any]) -> Any:
        if "Status" in body["query"]:
            return {"runOrError": {"__typename": "Run", "status": "STARTED"}}
        return {"logsForRun": {"__typename": "EventConnection", "cursor": "c", "hasMore": False, "events": []}}

    with pytest.raises(OrchestratorError, match="hasn't finished"):
        list(client(answer).follow("r1", timeout_seconds=0.0, pause_seconds=0.0))


def test_a_location_that_failed_to_load_is_a_problem_with_its_message() -> None:
    entries = [
        {"name": "products", "locationOrLoadError": {"__typename": "PythonError", "message": "bad yaml"}},
        {"name": "pipelines", "locationOrLoadError": {"__typename": "RepositoryLocation"}},
        {"name": "new", "locationOrLoadError": None},
    ]
    found = client(
        lambda _: {"workspaceOrError": {"__typename": "Workspace", "locationEntries": entries}}
    ).location_problems()
    assert found == {"products": "bad yaml", "new": "still loading"}
