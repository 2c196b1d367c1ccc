"""Runs as they go: server-sent events on a real PostgreSQL, with logs in real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import httpx
import pytest

from mlops_assets.api.pipelines import events
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.sandbox.log_lines import LogLine
from tests.integration.answers import problem
from tests.integration.runs_api import TOKEN, RunsApi
from tests.servers import wait_until
from tests.unit.pipelines.fabricated_runs import executed, recorded, spec_of, tell
from tests.unit.pipelines.made_pipelines import stage

Message = dict[str, Any]


@pytest.fixture
def spec() -> PipelineSpec:
    return spec_of(stage("load", retry_count=1, retry_delay=0), stage("train", ["load"]))


def logged(api: RunsApi, run_id: str, name: str, attempt: int, *texts: str) -> None:
    """A whole log of an attempt, or more of it."""
    with api.parts.logs.writer(run_id, name, attempt) as write:
        write([LogLine(1_700_000_000.5, "INFO", text) for text in texts])


class Stream:
    """One reading of a run's events."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[Message]:
        message: Message = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line == "" and "event" in message:
                yield message | {"data": json.loads(message["data"])}
            message = {} if line == "" else message | {name: value}

    def until(self, kind: str, **wanted: Any) -> list[Message]:
        """Everything up to the first event of a kind whose data holds what is wanted, that one included."""
        found = []
        for message in self:
            found.append(message)
            if message["event"] == kind and wanted.items() <= message["data"].items():
                return found
        raise AssertionError(f"the stream ended before {kind} {wanted}: {found}")


class Followed:
    """Opens a run's events; `with` closes the connection."""

    def __init__(self, api: RunsApi, run_id: str, newest: str | None = None, **params: Any) -> None:
        headers = {b"Last-Event-ID": newest.encode("latin-1")} if newest is not None else {}
        self._client = api.client()
        self._asked = self._client.stream("GET", f"/runs/{run_id}/events", headers=headers, params=params)

    def __enter__(self) -> Stream:
        response = self._asked.__enter__()
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return Stream(response)

    def __exit__(self, *_: object) -> None:
        self._asked.__exit__(None, None, None)
        self._client.close()


def texts(messages: list[Message]) -> list[str]:
    return [f"{m['data']['stage']}/{m['data']['attempt']}/{m['data']['text']}" for m in messages if m["event"] == "log"]


def states(messages: list[Message]) -> list[str]:
    return [f"{m['data']['name']} {m['data']['status']}" for m in messages if m["event"] == "stage"]


def test_a_run_is_told_from_its_present_state_to_its_end(api: RunsApi, spec: PipelineSpec, declared: UUID) -> None:
    run_id = recorded(api.instance, spec, tags=api.tags(spec, declared))
    with Followed(api, run_id) as stream:
        first = stream.until("stage", name="train")
        assert first[0]["event"] == "run"
        assert (first[0]["data"]["id"], first[0]["data"]["status"]) == (run_id, "PENDING")
        assert states(first) == ["load PENDING", "train PENDING"]
        for event in ("RUN_START", "STEP_START load"):
            tell(api.instance, spec, run_id, event)
        stream.until("stage", name="load", status="RUNNING")
        logged(api, run_id, "load", 1, "one", "two")
        assert texts(stream.until("log", text="two")) == ["load/1/one", "load/1/two"]
        tell(api.instance, spec, run_id, "STEP_SUCCESS load")
        assert states(stream.until("stage", status="COMPLETED")) == ["load COMPLETED"]
        tell(api.instance, spec, run_id, "RUN_FAILURE")
        last = stream.until("end")
        assert [message["data"]["status"] for message in last if message["event"] != "stage"] == ["FAILED", "FAILED"]
        assert states(last) == ["train SKIPPED"]
        assert list(stream) == []


def test_a_finished_run_is_told_at_once_with_the_logs_of_all_attempts(
    api: RunsApi, spec: PipelineSpec, declared: UUID
) -> None:
    run_id = executed(api.instance, spec, {"load": ["fails", "completes"]}, api.tags(spec, declared))
    logged(api, run_id, "load", 1, "first")
    logged(api, run_id, "load", 2, "second")
    logged(api, run_id, "train", 1, *map(str, range(2500)))
    with Followed(api, run_id) as stream:
        found = stream.until("end")
    assert texts(found) == ["load/1/first", "load/2/second", *(f"train/1/{number}" for number in range(2500))]
    assert found[-1]["data"] == {"status": "COMPLETED"}
    with Followed(api, run_id, logs=False) as stream:
        assert texts(stream.until("end")) == []


def test_whoever_was_cut_off_goes_on_without_a_line_twice(api: RunsApi, spec: PipelineSpec, declared: UUID) -> None:
    run_id = executed(api.instance, spec, {"load": ["fails", "completes"]}, api.tags(spec, declared))
    logged(api, run_id, "load", 1, "a", "b")
    logged(api, run_id, "load", 2, "c")
    logged(api, run_id, "train", 1, "d", "e")
    with Followed(api, run_id) as stream:
        whole = stream.until("end")
    wanted = texts(whole)
    lines = [message for message in whole if message["event"] == "log"]
    for number, line in enumerate(lines, 1):
        with Followed(api, run_id, line["id"]) as stream:
            rest = stream.until("end")
        assert texts(rest) == wanted[number:], line["id"]
        assert states(rest) == ["load COMPLETED", "train COMPLETED"]
    for odd in ("", "x", "1.", "-1", "9" * 400, "0.5-1-x", "1.1!.", "99", "0.0-99-999999999", "é"):
        with Followed(api, run_id, odd) as stream:
            assert set(texts(stream.until("end"))) <= set(wanted)


def test_a_line_that_comes_while_nobody_listens_is_told_later(api: RunsApi, spec: PipelineSpec, declared: UUID) -> None:
    tags = api.tags(spec, declared)
    run_id = recorded(api.instance, spec, "RUN_START", "STEP_START load", tags=tags)
    logged(api, run_id, "load", 1, "before")
    with Followed(api, run_id) as stream:
        newest = stream.until("log")[-1]["id"]
    logged(api, run_id, "load", 1, "meanwhile")
    with Followed(api, run_id, newest) as stream:
        assert texts(stream.until("log")) == ["load/1/meanwhile"]


def test_a_stage_that_was_done_in_an_earlier_run_brings_none_of_its_lines(
    api: RunsApi, spec: PipelineSpec, declared: UUID
) -> None:
    tags = api.tags(spec, declared)
    first = recorded(api.instance, spec, "RUN_START", "STEP_START load", "STEP_SUCCESS load", "RUN_FAILURE", tags=tags)
    logged(api, first, "load", 1, "of the first run")
    again = recorded(api.instance, spec, "RUN_START", "STEP_START train", steps=["train"], parent=first, tags=tags)
    logged(api, again, "train", 1, "of the second")
    for event in ("STEP_SUCCESS train", "RUN_SUCCESS"):
        tell(api.instance, spec, again, event)
    with Followed(api, again) as stream:
        found = stream.until("end")
    assert texts(found) == ["train/1/of the second"]
    assert states(found) == ["load COMPLETED", "train COMPLETED"]
    assert found[0]["data"]["retry_of"] == first


def test_readers_that_go_away_make_room_for_others(
    api: RunsApi, spec: PipelineSpec, declared: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_STREAMS", 3)
    run_id = recorded(api.instance, spec, "RUN_START", tags=api.tags(spec, declared))
    headers = {"Authorization": f"Bearer {TOKEN}"}

    def asked() -> httpx.Response:
        with httpx.stream("GET", f"{api.url}/api/v1/runs/{run_id}/events", headers=headers, timeout=20) as answer:
            if answer.status_code != 200:
                answer.read()
            return answer

    with ExitStack() as readers:
        streams = [readers.enter_context(Followed(api, run_id)) for _ in range(3)]
        for stream in streams:
            stream.until("run")
        answer = asked()
        assert "3 runs" in problem(answer, 503)["detail"]
        assert int(answer.headers["retry-after"]) >= 1
    wait_until(lambda: asked().status_code == 200, 20)


def test_many_readers_of_one_run_hear_the_same(api: RunsApi, spec: PipelineSpec, declared: UUID) -> None:
    run_id = recorded(api.instance, spec, "RUN_START", "STEP_START load", tags=api.tags(spec, declared))
    logged(api, run_id, "load", 1, "one")

    def heard(_: int) -> list[str]:
        with Followed(api, run_id) as stream:
            first = stream.until("log")
            return texts(first + stream.until("end"))

    with ThreadPoolExecutor(12) as threads:
        readers = [threads.submit(heard, number) for number in range(12)]
        logged(api, run_id, "load", 1, "two")
        for event in ("STEP_SUCCESS load", "RUN_SUCCESS"):
            tell(api.instance, spec, run_id, event)
        assert [reader.result(30) for reader in readers] == [["load/1/one", "load/1/two"]] * 12


def test_a_storage_that_goes_away_ends_the_stream_without_an_end(
    api: RunsApi, spec: PipelineSpec, declared: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = recorded(api.instance, spec, "RUN_START", tags=api.tags(spec, declared))

    def fails(*_: Any, **__: Any) -> None:
        raise OSError("gone")

    with Followed(api, run_id) as stream:
        stream.until("stage", name="train")
        monkeypatch.setattr(api.instance, "get_records_for_run", fails)
        assert "end" not in [message["event"] for message in stream]


def test_a_stream_ends_when_its_time_is_over_or_the_server_is_told_to_stop(
    api: RunsApi, spec: PipelineSpec, declared: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = recorded(api.instance, spec, "RUN_START", tags=api.tags(spec, declared))
    with Followed(api, run_id) as stream:
        stream.until("run")
        api.app.state.stopping = True
        assert "end" not in [message["event"] for message in stream]
    api.app.state.stopping = False
    monkeypatch.setattr(events, "LONGEST_SECONDS", 0.5)
    with Followed(api, run_id) as stream:
        assert [message["event"] for message in stream] == ["run", "stage", "stage"]


def test_a_silent_stream_is_kept_open(
    api: RunsApi, spec: PipelineSpec, declared: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.1)
    run_id = recorded(api.instance, spec, "RUN_START", tags=api.tags(spec, declared))
    with api.client() as client, client.stream("GET", f"/runs/{run_id}/events") as response:
        comments = (line for line in response.iter_lines() if line.startswith(":"))
        assert next(comments) == next(comments)
