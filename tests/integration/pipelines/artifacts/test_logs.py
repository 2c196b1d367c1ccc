"""Logs of stages over the served API, while their stages run and afterwards."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import httpx
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.storage.database import Database
from tests.integration.answers import answered, problem
from tests.integration.pipelines.artifacts.kept import Kept
from tests.integration.pipelines.stored_pipelines import created, spec
from tests.unit.pipelines.fabricated_runs import recorded, run_tags


def begun(instance: DagsterInstance, database: Database, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> str:
    """A run of a stored pipeline of the stages load and train; its id."""
    made = created(database, "stored")
    return recorded(instance, spec("stored"), status=status, tags=run_tags(spec("stored"), UUID(str(made.id))))


def log_of(client: httpx.Client, run: str, stage: str = "train", **query: Any) -> dict[str, Any]:
    return answered(client.get(f"/runs/{run}/stages/{stage}/logs", params=query))


def test_a_log_can_be_followed_while_its_stage_runs(
    client: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database)
    assert log_of(client, run) == {"stage": "train", "attempt": 0, "lines": [], "ended": False}
    begin, end = threading.Event(), threading.Event()

    def work() -> None:
        with kept.logs.writer(run, "train", 1) as write:
            write([LogLine(1_700_000_000.5, "WARNING", "one"), LogLine(1_700_000_001.0, "INFO", "two")])
            begin.set()
            assert end.wait(30)
            write([LogLine(1_700_000_002.0, "INFO", "three")])

    writer = threading.Thread(target=work)
    writer.start()
    assert begin.wait(30)
    found = log_of(client, run)
    assert found["lines"][0] == {"number": 1, "at": "2023-11-14T22:13:20.500000Z", "level": "WARNING", "text": "one"}
    assert (found["attempt"], len(found["lines"]), found["ended"]) == (1, 2, False)
    assert log_of(client, run, after=2) == {"stage": "train", "attempt": 1, "lines": [], "ended": False}
    end.set()
    writer.join()
    found = log_of(client, run, after=2)
    assert ([line["text"] for line in found["lines"]], found["ended"]) == (["three"], True)
    assert log_of(client, run, limit=2)["ended"] is False


def test_each_attempt_has_its_own_log_and_the_newest_is_told(
    client: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database)
    for number in (1, 2):
        with kept.logs.writer(run, "train", number) as write:
            write([LogLine(1.0, "INFO", f"try {number}")])
    assert log_of(client, run)["lines"][0]["text"] == "try 2"
    assert log_of(client, run, attempt=1)["lines"][0]["text"] == "try 1"
    assert log_of(client, run, attempt=3)["lines"] == []
    assert "2 attempts" in problem(client.get(f"/runs/{run}/stages/train/logs?attempt=4"), 404)["detail"]


def test_a_log_without_an_end_has_ended_with_its_run(
    client: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database, DagsterRunStatus.FAILURE)
    with kept.logs.writer(run, "train", 1) as write:
        write([LogLine(1.0, "INFO", "last words")])
        found = log_of(client, run)
        assert ([line["text"] for line in found["lines"]], found["ended"]) == (["last words"], True)
    assert log_of(client, run, "load") == {"stage": "load", "attempt": 0, "lines": [], "ended": True}


def test_a_log_can_be_had_as_text(
    client: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database)
    with kept.logs.writer(run, "train", 1) as write:
        write([LogLine(1_700_000_000.0, "ERROR", f"Größe {number}") for number in range(6000)])
    answer = client.get(f"/runs/{run}/stages/train/logs", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.splitlines()[5999] == "2023-11-14T22:13:20.000Z ERROR Größe 5999"


def test_a_run_or_a_stage_that_is_not_there_has_no_log(
    client: httpx.Client, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database)
    for path in (
        f"/runs/{uuid4()}/stages/train/logs", "/runs/x/stages/train/logs", "/runs/%00/stages/train/logs",
        f"/runs/{run}/stages/other/logs", f"/runs/{run}/stages/%00/logs", f"/runs/{run}/stages/..%2f../logs",
        f"/runs/{run}/stages/.hidden/logs",
    ):  # fmt: skip
        assert client.get(path).status_code == 404, path
    problem(client.get(f"/runs/{run}/stages/train/logs?limit=5001"), 422)
    problem(client.get(f"/runs/{run}/stages/train/logs?after=-1"), 422)
    assert httpx.get(f"{client.base_url}runs/{run}/stages/train/logs").status_code == 401
