"""What changes something in Dagster or MLflow, told from the request alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_assets.access import dagster_rules, mlflow_rules
from mlops_assets.access.dagster_rules import Asked, UnreadableError


def asked(query: str, **more: Any) -> Asked:
    return dagster_rules.asked(json.dumps({"query": query, **more}).encode())


@pytest.mark.parametrize(
    "query",
    [
        "{ version }",
        "query mutation { version }",
        'query A { pipelineOrError(name: "mutation { launchRun }") { __typename } }',
        "subscription S { pipelineRunLogs { __typename } }",
        "# mutation { launchRun { x } }\n{ version }",
        "fragment F on Mutation { launchRun { x } } { version }",
    ],
)
def test_reading_is_no_change(query: str) -> None:
    assert asked(query).mutations == ()


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("mutation { launchRun { x } }", ("launchRun",)),
        ("mutation A { harmless: launchRun { x } wipeAssets { y } }", ("launchRun", "wipeAssets")),
        ("{ version } mutation A { launchRun { x } }", ("launchRun",)),
        (
            "mutation A { ...F } fragment F on Mutation { launchRun { x } ...G } "
            "fragment G on Mutation { wipeAssets { x } }",
            ("launchRun", "wipeAssets"),
        ),
        ("mutation A { ... on Mutation { launchRun { x } } }", ("launchRun",)),
        ("mutation A { ...F } fragment F on Mutation { ...F }", ("unknown",)),
        ("mutation A { ...Missing }", ("unknown",)),
        ("\ufeffmutation A { launchRun { x } }", ("launchRun",)),
    ],
)
def test_a_mutation_is_found_wherever_it_stands(query: str, fields: tuple[str, ...]) -> None:
    assert asked(query, operationName="Other").mutations == fields


def test_it_goes_by_the_name_of_the_operation_that_is_in_the_query() -> None:
    two = "mutation First { launchRun { x } } mutation Second { wipeAssets { x } }"
    assert asked(two, operationName="Second").operation == "Second"
    assert asked(two, operationName="a made-up name with a password").operation == "First"
    assert asked(two, operationName=7).operation == "First"
    assert asked("mutation { launchRun { x } }", operationName="Nobody").operation is None
    assert len(asked(f"mutation {'A' * 500} {{ launchRun {{ x }} }}").operation or "") == dagster_rules.LONGEST_NAME


def test_only_what_is_listed_is_for_everybody() -> None:
    assert asked("mutation { setNuxSeen }").for_everybody
    assert not asked("mutation { setNuxSeen launchRun { x } }").for_everybody


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"mutation { launchRun { x } }",
        b'[{"query": "{ version }"}]',
        b'{"query": null}',
        b'{"query": ["{ version }"]}',
        b'{"query": "mutation {"}',
        b'{"query": "' + b"{a" * 30_000 + b'"}',
        json.dumps({"query": "{" * 5000}).encode(),
        json.dumps({"query": "{ " + "a " * 30_000 + "}"}).encode(),
        json.dumps({"query": "{ version }" + " " * dagster_rules.LONGEST_QUERY}).encode(),
        b"[" * 100_000,
        b"\xff\xfe\xff",
    ],
)
def test_what_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        dagster_rules.asked(body)


def test_of_two_queries_the_one_counts_that_dagster_takes_as_well() -> None:
    body = b'{"query": "{ version }", "query": "mutation { launchRun { x } }"}'
    assert json.loads(body)["query"].startswith("mutation")
    assert dagster_rules.asked(body).mutations == ("launchRun",)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/static-files/x.js"),
        ("GET", "/get-artifact"),
        ("GET", "/ajax-api/2.0/mlflow/runs/get"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search"),
        ("POST", "/api/2.0/mlflow/runs/search"),
        ("POST", "/api/3.0/mlflow/traces/search"),
        ("POST", "/graphql"),
    ],
)
def test_everybody_reads_mlflow(method: str, path: str) -> None:
    assert mlflow_rules.only_reads(method, path)
    assert not mlflow_rules.changes(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/runs/create"),
        ("POST", "/api/2.0/mlflow/runs/search/"),
        ("POST", "/api/2.0/mlflow/runs/Search"),
        ("POST", "//api/2.0/mlflow/runs/search"),
        ("POST", "/api/2.0/mlflow/runs/search\n"),
        ("PUT", "/api/2.0/mlflow/runs/search"),
        ("DELETE", "/api/2.0/mlflow/model-versions/delete"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x"),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact"),
        ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url"),
        ("POST", "/gateway/chat/mlflow/invocations"),
        ("POST", "/v1/traces"),
        ("MKCOL", "/graphql"),
        ("post", "/graphql"),
    ],
)
def test_whatever_else_changes_mlflow_is_for_operators(method: str, path: str) -> None:
    assert not mlflow_rules.only_reads(method, path)
    assert mlflow_rules.changes(method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/2.0/mlflow/gateway-proxy",
        "/api/2.0/mlflow/webhooks",
        "/ajax-api/2.0/mlflow/webhooks/7",
        "/ajax-api/3.0/mlflow/gateway/secrets/list",
    ],
)
def test_some_reading_is_for_operators_and_no_change(path: str) -> None:
    assert not mlflow_rules.only_reads("GET", path)
    assert not mlflow_rules.changes("GET", path)


def test_nobody_uses_the_assistant() -> None:
    assert mlflow_rules.forbidden("/ajax-api/3.0/mlflow/assistant/message")
    assert mlflow_rules.forbidden("/ajax-api/3.0/mlflow/assistant")
    assert not mlflow_rules.forbidden("/ajax-api/3.0/mlflow/assistants")
