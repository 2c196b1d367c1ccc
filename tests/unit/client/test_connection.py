"""What is tried again and what never is, what errors say, and that a name stays a name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from mlops_assets.client import (
    ApiError,
    AuthError,
    Client,
    ClientError,
    ConflictError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
    ValidationError,
)
from tests.unit.client.fake_api import TOKEN, URL, FakeApi, ok, pipeline, problem, run

SPEC = {"name": "two_stage", "stages": []}


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("half an answer"),
        problem(503),
        problem(429),
        httpx.Response(502, text="<html>bad gateway</html>"),
    ],
)
def test_a_read_is_tried_again_when_the_api_is_away_for_a_moment(trouble: httpx.Response | Exception) -> None:
    api = FakeApi().on("GET pipelines/a", trouble, trouble, ok(pipeline("a")))
    assert api.client.pipeline("a").name == "a"
    assert len(api.clock.waited) == 2


def test_a_lasting_trouble_is_told_after_a_few_tries() -> None:
    api = FakeApi().on("GET pipelines/a", httpx.ConnectError("refused"))
    with pytest.raises(UnavailableError, match=r"http://127\.0\.0\.1:8000: refused") as told:
        api.client.pipeline("a")
    assert told.value.status == 0
    assert 2 <= len(api.requests) <= 10


CHANGES: list[tuple[str, Callable[[Client], object]]] = [
    ("PUT pipelines/a", lambda client: client.update("a", SPEC, revision=3)),
    ("DELETE pipelines/a", lambda client: client.delete("a")),
    ("POST pipelines/a/deploy", lambda client: client.deploy("a")),
    ("POST pipelines/a/pause", lambda client: client.pause("a")),
    ("POST runs/r1/cancel", lambda client: client.cancel("r1")),
]


@pytest.mark.parametrize(("what", "change"), CHANGES)
@pytest.mark.parametrize("trouble", [problem(503, Retry_After="1"), httpx.ReadTimeout("slow")])
def test_a_change_without_a_key_is_sent_once(
    what: str, change: Callable[[Client], object], trouble: httpx.Response | Exception
) -> None:
    api = FakeApi().on(what, trouble)
    with pytest.raises(UnavailableError):
        change(api.client)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("what", "order", "answer"),
    [
        ("POST pipelines", lambda client: client.create(SPEC), ok(pipeline(), 201)),
        ("POST pipelines/a/runs", lambda client: client.run("a"), ok(run(), 201)),
    ],
)
def test_an_order_whose_answer_was_lost_is_sent_again_with_the_same_key(
    what: str, order: Callable[[Client], object], answer: httpx.Response
) -> None:
    api = FakeApi().on(what, httpx.ReadTimeout("slow"), problem(409, "being worked on", Retry_After="1"), answer)
    order(api.client)
    order(api.client)
    first, second, third, another = api.sent(what)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == third.headers["idempotency-key"]
    assert first.content == second.content == third.content
    assert another.headers["idempotency-key"] != first.headers["idempotency-key"]


def test_a_key_of_ones_own_is_sent_as_it_is() -> None:
    api = FakeApi().on("POST pipelines/a/runs", ok(run(), 201))
    api.client.run("a", key="nightly-7")
    assert api.requests[0].headers["idempotency-key"] == "nightly-7"


def test_a_conflict_is_told_at_once() -> None:
    api = FakeApi().on("POST pipelines", problem(409, "the name is taken"))
    with pytest.raises(ConflictError, match="the name is taken"):
        api.client.create(SPEC)
    assert len(api.requests) == 1


def test_the_api_is_asked_again_when_it_said_to_come_back() -> None:
    api = FakeApi().on("GET pipelines/a", problem(429, Retry_After="7"), ok(pipeline("a")))
    api.client.pipeline("a")
    assert api.clock.waited == [7.0]


def test_a_moment_to_come_back_is_understood_as_a_date_too() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    api = FakeApi().on("GET pipelines/a", problem(503, Retry_After=later), ok(pipeline("a")))
    api.client.pipeline("a")
    assert len(api.clock.waited) == 1
    assert 10 < api.clock.waited[0] <= 20


@pytest.mark.parametrize("told", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_nobody_waits_for_longer_than_half_a_minute(told: str) -> None:
    api = FakeApi().on("GET pipelines/a", problem(503, "back later", Retry_After=told))
    with pytest.raises(UnavailableError, match="back later") as raised:
        api.client.pipeline("a")
    assert raised.value.retry_after is not None
    assert raised.value.retry_after >= 3600
    assert api.clock.waited == []


@pytest.mark.parametrize("told", ["soon", "-1", "9" * 400, ""])
def test_a_moment_to_come_back_that_makes_no_sense_is_passed_over(told: str) -> None:
    api = FakeApi().on("GET pipelines/a", problem(503, Retry_After=told), ok(pipeline("a")))
    api.client.pipeline("a")
    assert 0 < sum(api.clock.waited) < 5


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ValidationError),
        (401, AuthError),
        (403, AuthError),
        (404, NotFoundError),
        (409, ConflictError),
        (412, PreconditionError),
        (413, ValidationError),
        (422, ValidationError),
        (428, PreconditionError),
        (500, ApiError),
        (503, UnavailableError),
    ],
)
def test_each_refusal_is_an_error_of_its_own(status: int, kind: type[ApiError]) -> None:
    api = FakeApi().on("PUT pipelines/a", problem(status, "because"))
    with pytest.raises(ApiError, match="because") as raised:
        api.client.update("a", SPEC, revision=1)
    assert type(raised.value) is kind
    assert (raised.value.status, raised.value.title) == (status, "Refused")


def test_a_refused_pipeline_says_which_field_of_which_stage() -> None:
    errors = [
        {"field": "stages.train.source", "message": "doesn't compile"},
        {"field": "stages.train.limits.memory_mb", "message": "too small"},
        {"field": "schedule", "message": "no cron expression"},
        {"field": "", "message": "has no stages"},
    ]
    api = FakeApi().on("POST pipelines", problem(422, "4 problems", errors=errors))
    with pytest.raises(ValidationError) as raised:
        api.client.create(SPEC)
    assert [(p.stage, p.field) for p in raised.value.problems] == [
        ("train", "source"),
        ("train", "limits.memory_mb"),
        (None, "schedule"),
        (None, ""),
    ]
    said = str(raised.value)
    assert all(words in said for words in ("4 problems", "stages.train.source: doesn't compile", "has no stages"))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>a page of a proxy</html>"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"name": "a"}),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200),
    ],
)
def test_an_answer_that_is_no_pipeline_is_an_error_of_the_client(answer: httpx.Response) -> None:
    api = FakeApi().on("GET pipelines/a", answer)
    with pytest.raises(ApiError, match="PipelineDetail"):
        api.client.pipeline("a")


@pytest.mark.parametrize(
    "body", [b"", b"<html>no</html>", b"[" * 100_000, b'["x"]', b'{"detail": 7, "errors": [1, {"field": 2}]}']
)
def test_a_refusal_in_any_form_is_told_with_its_status(body: bytes) -> None:
    api = FakeApi().on("GET pipelines/a", httpx.Response(418, content=body))
    with pytest.raises(ApiError) as raised:
        api.client.pipeline("a")
    assert raised.value.status == 418
    assert str(raised.value)


def test_the_token_goes_nowhere_else_and_into_no_message() -> None:
    api = FakeApi().on("GET pipelines/a", httpx.Response(307, headers={"location": "http://elsewhere.example/"}))
    with pytest.raises(ApiError) as raised:
        api.client.pipeline("a")
    assert len(api.requests) == 1
    assert api.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in f"{raised.value!r} {raised.value} {api.client!r}"


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "tök", "x" * 1001])
def test_what_can_be_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ClientError, match="token") as raised:
        Client(URL, token)
    assert not token or token not in str(raised.value)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "https:///path", "file:///etc"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ClientError, match="address"):
        Client(url, TOKEN)


@pytest.mark.parametrize(
    "name", ["..", ".", "a/b", "../runs", "a?x=1", "a#b", "a%2Fb", "ä", "a b", "'; --", "x" * 10_000]
)
def test_a_name_stays_one_part_of_the_path(name: str) -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return problem(404)

    with Client(URL, TOKEN, transport=httpx.MockTransport(answer)) as client, pytest.raises(NotFoundError):
        client.versions(name)
    parts = seen[0].split(b"/")
    assert parts[:4] == [b"", b"api", b"v1", b"pipelines"]
    assert parts[5:] == [b"versions"]
    assert parts[4] not in (b".", b"..")
    assert not {b"?", b"#"} & {bytes([c]) for c in parts[4]}


@pytest.mark.parametrize("name", ["", "\ud800"])
def test_what_can_not_be_sent_is_refused_before_it_is(name: str) -> None:
    api = FakeApi()
    with pytest.raises(ClientError):
        api.client.get_run(name)
    assert not api.requests


def test_health_and_statistics_that_are_not_what_was_expected_are_errors() -> None:
    api = FakeApi().on("GET health", ok({"status": "ok"}), ok([]), httpx.Response(200, text="well"))
    api.on("GET statistics", ok({}))
    assert api.client.health() == {"status": "ok"}
    for _ in range(2):
        with pytest.raises(ApiError, match="health"):
            api.client.health()
    with pytest.raises(ApiError, match="Statistics"):
        api.client.statistics()


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mlops_assets.client import Client; "
        "print({'dagster', 'pandas', 'numpy', 'sqlalchemy', 'fastapi', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
