"""Lists of runs say why those of them that failed did, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, event

from mlops_assets.pipelines.spec import PipelineSpec
from tests.integration.runs_api import RunsApi
from tests.unit.pipelines.fabricated_runs import executed, recorded


def listed(client: httpx.Client) -> dict[str, str | None]:
    return {run["id"]: run["error"] for run in client.get("/runs").raise_for_status().json()["items"]}


def test_a_list_tells_the_same_as_each_run(
    api: RunsApi, client: httpx.Client, spec: PipelineSpec, declared: UUID
) -> None:
    tags = api.tags(spec, declared)
    deeds = ["fails", "is refused", "breaks", "is interrupted", "is cancelled", "completes"]
    runs = {deed: executed(api.instance, spec, {"train": [deed]}, tags) for deed in deeds}
    runs["never begins"] = recorded(api.instance, spec, "RUN_FAILURE", tags=tags)
    runs["is going"] = recorded(api.instance, spec, "RUN_START", "STEP_START load", tags=tags)
    told = listed(client)
    assert told == {run: client.get(f"/runs/{run}").json()["error"] for run in runs.values()}
    assert told[runs["fails"]] == "train: ValueError: bad rows"
    assert {deed for deed, run in runs.items() if told[run] is None} == {"is cancelled", "completes", "is going"}
    own = client.get(f"/pipelines/{declared}/runs").json()["items"]
    assert {run["id"]: run["error"] for run in own} == told


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What the databases are asked, as it is asked."""
    asked: list[str] = []

    def note(*told: Any) -> None:
        asked.append(told[2])

    event.listen(Engine, "before_cursor_execute", note)
    yield asked
    event.remove(Engine, "before_cursor_execute", note)


def test_more_failed_runs_take_no_more_statements(
    api: RunsApi, client: httpx.Client, spec: PipelineSpec, declared: UUID, statements: list[str]
) -> None:
    executed(api.instance, spec, {"train": ["fails"]}, api.tags(spec, declared))
    statements.clear()
    listed(client)
    needed = len(statements)
    for _ in range(4):
        executed(api.instance, spec, {"load": ["fails"]}, api.tags(spec, declared))
    statements.clear()
    assert len(listed(client)) == 5
    assert len(statements) == needed
