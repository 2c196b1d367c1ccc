"""The end of a stage's log over a served API: while its stage runs, as text, and read on from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.pipelines import stage_logs
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.answers import answered, fields
from tests.integration.pipelines.pipelines_app import pipelines_api
from tests.integration.pipelines.stored_pipelines import created, spec
from tests.unit.pipelines.fabricated_runs import recorded, run_tags


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def api(database: Database, tmp_path: Path, instance: DagsterInstance) -> Iterator[httpx.Client]:
    with pipelines_api(database, tmp_path, instance) as client:
        yield client


@pytest.fixture
def logs(tmp_path: Path) -> StageLogs:
    return StageLogs(Settings(home=tmp_path).stage_logs)


@pytest.fixture
def run(instance: DagsterInstance, database: Database) -> str:
    tags = run_tags(spec("stored"), UUID(str(created(database, "stored").id)))
    return recorded(instance, spec("stored"), status=DagsterRunStatus.STARTED, tags=tags)


def written(*texts: str) -> list[LogLine]:
    return [LogLine(1_700_000_000.0, "INFO", text) for text in texts]


def asked(api: httpx.Client, run: str, **query: Any) -> httpx.Response:
    return api.get(f"/runs/{run}/stages/train/logs", params=query)


def texts(log: dict[str, Any]) -> list[str]:
    return [line["text"] for line in log["lines"]]


def test_the_last_lines_come_and_what_is_logged_later_goes_on_from_them(
    api: httpx.Client, logs: StageLogs, run: str
) -> None:
    assert answered(asked(api, run, tail=3))["lines"] == []
    with logs.writer(run, "train", 1) as write:
        write(written(*map(str, range(6000))))
        found = answered(asked(api, run, tail=3))
        assert (texts(found), found["ended"]) == (["5997", "5998", "5999"], False)
        assert texts(answered(asked(api, run, tail=5000)))[0] == "1000"
        write(written("later"))
    found = answered(asked(api, run, after=found["lines"][-1]["number"]))
    assert (texts(found), found["ended"]) == (["later"], True)
    found = answered(asked(api, run, tail=1, limit=1))
    assert (texts(found), found["ended"]) == (["later"], True)


def test_the_end_of_an_earlier_attempt_can_be_asked_for(api: httpx.Client, logs: StageLogs, run: str) -> None:
    for number in (1, 2):
        with logs.writer(run, "train", number) as write:
            write(written(f"{number} begins", f"{number} ends"))
    assert texts(answered(asked(api, run, tail=1))) == ["2 ends"]
    assert texts(answered(asked(api, run, tail=1, attempt=1))) == ["1 ends"]
    assert texts(answered(asked(api, run, tail=9, attempt=1))) == ["1 begins", "1 ends"]


def test_lines_too_long_for_a_page_leave_out_the_first(
    api: httpx.Client, logs: StageLogs, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_logs, "PAGE_BYTES", 100_000)
    with logs.writer(run, "train", 1) as write:
        write(written(*(f"{number}{'x' * 10_000}" for number in range(40))))
    found = answered(asked(api, run, tail=40))
    assert [int(text.rstrip("x")) for text in texts(found)] == list(range(31, 40))
    assert found["ended"]


def test_the_end_comes_as_text_too(api: httpx.Client, logs: StageLogs, run: str) -> None:
    with logs.writer(run, "train", 1) as write:
        write(written("one", "two", "three"))
    plain = {"Accept": "text/plain"}
    answer = api.get(f"/runs/{run}/stages/train/logs", params={"tail": 2}, headers=plain)
    assert [line.split()[-1] for line in answer.text.splitlines()] == ["two", "three"]
    assert len(api.get(f"/runs/{run}/stages/train/logs", headers=plain).text.splitlines()) == 3


@pytest.mark.parametrize(
    "query", [{"tail": 0}, {"tail": 5001}, {"tail": "all"}, {"tail": 2, "after": 1}, {"tail": 2, "after": 0}]
)
def test_an_end_that_makes_no_sense_is_refused_by_name(api: httpx.Client, run: str, query: dict[str, Any]) -> None:
    assert fields(asked(api, run, **query)) == ["tail"]
