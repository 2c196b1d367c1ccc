"""Runs over the client: pages, waiting, and logs that grow while they are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from mlops_assets.api.pipelines.run_schemas import RunStatus, Trigger
from mlops_assets.client import ClientError, RunTimeoutError, UnavailableError
from tests.unit.client.fake_api import FakeApi, detail, line, ok, problem, run, stage

LOGS = "GET runs/r1/stages/train/logs"


def page(ids: list[str], cursor: str | None) -> httpx.Response:
    return ok({"items": [run(one) for one in ids], "total": 3, "next_cursor": cursor})


def log(*lines: dict[str, Any], attempt: int = 1, ended: bool = False) -> httpx.Response:
    return ok({"stage": "train", "attempt": attempt, "lines": list(lines), "ended": ended})


def test_an_order_holds_what_was_given_and_nothing_else() -> None:
    api = FakeApi().on("POST pipelines/a/runs", ok(run(), 201))
    api.client.run("a")
    api.client.run("a", parameters={"rows": "10"}, environment="test", tags={"x": ""}, notes="n", trigger="WEBHOOK")
    assert api.bodies("POST pipelines/a/runs") == [
        {"trigger": "API"},
        {"parameters": {"rows": "10"}, "environment": "test", "tags": {"x": ""}, "notes": "n", "trigger": "WEBHOOK"},
    ]
    with pytest.raises(ClientError, match="JSON"):
        api.client.run("a", parameters={"since": datetime.now(UTC)})


def test_every_run_of_every_page_is_told() -> None:
    api = FakeApi().on("GET pipelines/a/runs", page(["r3", "r2"], "c1"), page(["r1"], None))
    found = api.client.runs(
        "a", status=[RunStatus.FAILED, "RUNNING"], trigger=Trigger.API, since=datetime(2025, 1, 1, tzinfo=UTC)
    )
    assert [one.id for one in found] == ["r3", "r2", "r1"]
    first, second = (request.url.params for request in api.requests)
    assert first.get_list("status") == ["FAILED", "RUNNING"]
    assert (first["trigger"], first["since"]) == ("API", "2025-01-01T00:00:00+00:00")
    assert ("cursor" in first, second["cursor"]) == (False, "c1")


def test_a_cursor_that_leads_nowhere_ends_the_listing() -> None:
    api = FakeApi().on("GET runs", page(["r1"], "c1"))
    assert len(list(api.client.runs())) == 2


def test_a_run_is_waited_for_over_a_restart_of_the_api() -> None:
    away = [httpx.ConnectError("refused")] * 12
    api = FakeApi().on("GET runs/r1", ok(detail()), *away, ok(detail()), *away, ok(detail("r1", "FAILED")))
    assert api.client.wait("r1").status is RunStatus.FAILED


def test_waiting_ends_when_the_api_stays_away() -> None:
    api = FakeApi().on("GET runs/r1", problem(503, "the database doesn't answer"))
    with pytest.raises(UnavailableError, match="database"):
        api.client.wait("r1")


@pytest.mark.parametrize("timeout", [0, 7.5])
def test_waiting_ends_in_time(timeout: float) -> None:
    api = FakeApi().on("GET runs/r1", ok(detail()))
    began = api.clock.now()
    with pytest.raises(RunTimeoutError, match="r1") as raised:
        api.client.wait("r1", timeout)
    assert isinstance(raised.value, TimeoutError)
    assert api.clock.now() - began == pytest.approx(timeout)


def test_a_log_is_read_page_by_page_within_one_attempt() -> None:
    api = FakeApi().on(LOGS, log(line(1, "a"), line(2, "b"), attempt=2), log(line(3, "c"), attempt=2), log(attempt=2))
    assert [one.text for one in api.client.log_lines("r1", "train")] == ["a", "b", "c"]
    asked = [(r.url.params.get("attempt"), r.url.params["after"]) for r in api.requests]
    assert asked == [(None, "0"), ("2", "2"), ("2", "3")]


def growing(api: FakeApi, logs: dict[int, list[str]], states: list[dict[str, Any]]) -> None:
    """A stage whose logs grow by a line a look, and whose state is the next one at every look."""

    def answer(request: httpx.Request) -> httpx.Response:
        looks = max(1, len(api.sent("GET runs/r1")))
        newest = int(states[min(looks, len(states)) - 1]["stages"][0]["attempt"])
        attempt = int(request.url.params.get("attempt", newest))
        there = logs[attempt] if attempt < newest or looks >= len(states) else logs[attempt][:looks]
        after = int(request.url.params.get("after", 0))
        lines = [line(n, text) for n, text in enumerate(there, 1) if n > after]
        return log(*lines, attempt=attempt, ended=attempt < newest or looks >= len(states))

    api.on("GET runs/r1", *[ok(state) for state in states]).on(LOGS, answer)


def test_a_followed_log_goes_on_with_the_next_attempt_until_the_stage_ends() -> None:
    api = FakeApi()
    states = [
        detail("r1", "RUNNING", stage("train", "RUNNING", 1)),
        detail("r1", "RUNNING", stage("train", "RUNNING", 2)),
        detail("r1", "RUNNING", stage("train", "RUNNING", 2)),
        detail("r1", "RUNNING", stage("train", "COMPLETED", 2)),
    ]
    growing(api, {1: ["first a", "first b"], 2: ["second a", "second b", "second c"]}, states)
    told = [one.text for one in api.client.log_lines("r1", "train", follow=True)]
    assert told == ["first a", "first b", "second a", "second b", "second c"]


def test_a_followed_log_waits_for_a_stage_that_has_not_begun() -> None:
    api = FakeApi().on(
        "GET runs/r1",
        ok(detail("r1", "PENDING", stage("train", "PENDING", 0))),
        ok(detail("r1", "RUNNING", stage("train", "RUNNING", 1))),
        ok(detail("r1", "COMPLETED", stage("train", "COMPLETED", 1))),
    )
    api.on(LOGS, log(attempt=0), log(line(1, "a")), log(ended=True))
    assert [one.text for one in api.client.log_lines("r1", "train", follow=True)] == ["a"]
    assert api.clock.waited


def test_a_followed_attempt_ends_with_itself() -> None:
    api = FakeApi().on("GET runs/r1", ok(detail("r1", "RUNNING", stage("train", "RUNNING", 2))))
    api.on(LOGS, log(line(1, "a"), ended=True), log(ended=True))
    assert [one.text for one in api.client.log_lines("r1", "train", 1, follow=True)] == ["a"]


def test_only_the_end_of_a_log_is_read_where_only_that_is_wanted() -> None:
    api = FakeApi().on(LOGS, log(line(8, "h"), line(9, "i"), attempt=2))
    assert [one.text for one in api.client.log_lines("r1", "train", tail=2)] == ["h", "i"]
    (request,) = api.requests
    assert dict(request.url.params) == {"tail": "2"}


def test_a_log_is_followed_from_its_end_within_the_attempt_that_was_told() -> None:
    api = FakeApi()
    api.on(LOGS, log(line(8, "h"), attempt=2), log(line(9, "i"), attempt=2), log(attempt=2, ended=True))
    api.on("GET runs/r1", ok(detail("r1", "COMPLETED", stage("train", "COMPLETED", 2))))
    assert [one.text for one in api.client.log_lines("r1", "train", follow=True, tail=1)] == ["h", "i"]
    assert [dict(r.url.params) for r in api.sent(LOGS)][1] == {"attempt": "2", "after": "8", "limit": "5000"}
