"""One line in the journal for each answered prediction, written before the answer, with all that the log holds."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.types import Message

from inference.app import create_app
from inference.functions import ProductFunctions
from inference.keys import UserHashes
from inference.metrics import Metrics
from inference.model import Model
from inference.record import Recorder
from inference.served import Served, Serving
from inference.settings import ServingSettings
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.fake_journal import KEY, FakeJournal
from tests.unit.inference.tiny_release import HOME, PRODUCT

ROUTE = "/api/predict_price"
JSON = {"content-type": "application/json"}
GATEWAY = {
    "x-user-id": "ada@example.org", "x-mlops-assigned": "production", "x-mlops-rollout": "2", "x-mlops-step": "1",
    "x-request-id": "req-1",
}  # fmt: skip


def test_line_of_a_prediction(client: AsgiClient, journal: FakeJournal) -> None:
    before = time.time()
    response = client.post(ROUTE, json={**HOME, "town": " Atlantis "}, headers=GATEWAY)
    answer = response.json()
    (line,) = journal.records()
    assert before - 1 < line.pop("at") < time.time() + 1
    assert 0 < line.pop("ms") < 10_000
    assert len(bytes.fromhex(line.pop("trace_id"))) == 16
    assert line == {
        "k": "p",
        "id": answer["prediction_id"],
        "product": PRODUCT,
        "variant": "candidate",
        "version": 3,
        "assigned": "production",
        "rollout": 2,
        "step": 1,
        "user": UserHashes(KEY).of(b"ada@example.org"),
        "features": {"area": 1000.0, "town": "Atlantis", "rooms": 2, "floor": None},
        "output": {
            "price": 120.0,
            "interval": {"low": 96.0, "high": 150.0},
            "unit": "coins",
            "sample_data": True,
            "notes": answer["notes"],
        },
        "request_id": "req-1",
        "sample": True,
    }
    assert b"ada@example.org" not in b"".join(journal.appended)
    assert (response.headers["x-served-by"], response.headers["x-model-version"]) == ("candidate", "3")


def test_without_gateway_the_line_says_nothing_of_it(client: AsgiClient, journal: FakeJournal) -> None:
    client.post(ROUTE, json=HOME)
    (line,) = journal.records()
    assert [line[name] for name in ("assigned", "rollout", "step", "user", "request_id")] == [None] * 5


def test_line_is_there_before_the_answer(client: AsgiClient, journal: FakeJournal) -> None:
    import asyncio

    seen: list[int] = []

    async def ask() -> None:
        body = json.dumps(HOME).encode()

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            seen.append(len(journal.appended))

        scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": ROUTE, "raw_path": ROUTE.encode(), "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        }  # fmt: skip
        await client.app(scope, receive, send)

    asyncio.run(ask())
    assert seen == [1, 1]


@pytest.mark.parametrize("padding", [0, 300])
def test_batch_is_one_append_of_a_line_for_each_estimate(
    client: AsgiClient, journal: FakeJournal, padding: int
) -> None:
    rows: list[Any] = [HOME, {**HOME, "area": -1}, {**HOME, "area": 2000}, 7]
    body = json.dumps({"records": rows}, indent=padding)
    assert (len(body) > 4096) == bool(padding)
    response = client.post(f"{ROUTE}/batch", content=body, headers=JSON | GATEWAY)
    first, _, third, _ = response.json()["predictions"]
    assert len(journal.appended) == 1
    lines = journal.records()
    assert [line["id"] for line in lines] == [first["prediction_id"], third["prediction_id"]]
    assert [line["output"]["price"] for line in lines] == [first["price"], third["price"]]
    assert [line["features"]["area"] for line in lines] == [1000.0, 2000.0]
    assert {(line["user"], line["step"], line["ms"]) for line in lines} == {
        (UserHashes(KEY).of(b"ada@example.org"), 1, lines[0]["ms"])
    }
    assert lines[0]["ms"] * 2 <= 1.001 * third["response_time_ms"] + 100
    assert response.headers["x-served-by"] == "candidate"


@pytest.mark.parametrize("body", [{}, {**HOME, "area": -1}])
def test_refused_request_is_not_logged(client: AsgiClient, journal: FakeJournal, body: dict[str, Any]) -> None:
    refused = client.post(ROUTE, json=body)
    assert (refused.status_code, refused.headers["x-served-by"]) == (422, "candidate")
    client.post(f"{ROUTE}/batch", json={"records": [body]})
    client.post(ROUTE, content=b"{", headers=JSON)
    assert journal.appended == []


def test_fault_is_not_logged_as_an_answer(client: AsgiClient, journal: FakeJournal, served: Served) -> None:
    class Broken:
        version = 9

        def estimate(self, requests: object) -> list[object]:
            raise ZeroDivisionError

    served.current = Serving(Broken(), "candidate")  # type: ignore[arg-type]
    assert client.post(ROUTE, json=HOME).status_code == 500
    assert journal.appended == []


def test_label_at_the_moment_counts_everywhere(
    client: AsgiClient, journal: FakeJournal, served: Served, model: Model
) -> None:
    client.post(ROUTE, json=HOME)
    for label in ("standby", "production"):
        served.current = Serving(model, label)  # type: ignore[arg-type]
        answer = client.post(ROUTE, json=HOME)
        assert (answer.json()["variant"], answer.headers["x-served-by"]) == (label, label)
    assert [line["variant"] for line in journal.records()] == ["candidate", "standby", "production"]
    exposition = client.get("/metrics").text
    for label in ("candidate", "standby", "production"):
        assert f'predictions_total{{product="tiny_homes",variant="{label}"}} 1.0' in exposition
        assert f'prediction_duration_seconds_count{{product="tiny_homes",variant="{label}"}} 1.0' in exposition


def test_answer_on_its_way_never_mixes_two_releases(
    client: AsgiClient, journal: FakeJournal, served: Served, model: Model
) -> None:
    """The body arrives only after a swap: model, label, headers and line are all those of the start."""
    import asyncio

    sent: list[Message] = []

    async def ask() -> None:
        body = json.dumps(HOME).encode()

        async def receive() -> Message:
            served.current = Serving(model, "production")
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": ROUTE, "raw_path": ROUTE.encode(), "query_string": b"",
            "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        }  # fmt: skip
        await client.app(scope, receive, send)

    asyncio.run(ask())
    assert (b"x-served-by", b"candidate") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["variant"] == "candidate"
    assert journal.records()[0]["variant"] == "candidate"
    labels = {"product": PRODUCT, "variant": "production"}
    assert f"predictions_total{json.dumps(labels)}" not in client.get("/metrics").text


def test_unlogged_service_answers_and_takes_no_feedback(
    settings: ServingSettings, functions: ProductFunctions, served: Served, metrics: Metrics
) -> None:
    client = AsgiClient(create_app(settings, functions, served, metrics))
    answer = client.post(ROUTE, json=HOME)
    identifier = uuid.UUID(answer.json()["prediction_id"])
    assert identifier.version == 7
    body = {"prediction_id": str(identifier), "feedback_type": "accurate"}
    refused = client.post("/api/feedback", json=body)
    assert refused.status_code == 503
    assert "keeps no log" in refused.json()["detail"]
    assert client.get("/api/health").json()["journal"] is None


def test_journal_in_trouble_shows_in_health_and_metrics(client: AsgiClient, journal: FakeJournal) -> None:
    assert client.get("/api/health").json()["status"] == "ok"
    journal.problem, journal.buffered = "no space for /srv/data/journal/tiny_homes_candidate", 5
    assert client.post(ROUTE, json=HOME).status_code == 200
    health = client.get("/api/health").json()
    assert (health["status"], health["journal"]["buffered_lines"]) == ("degraded", 5)
    assert health["journal"]["problem"] == "no space for tiny_homes_candidate"
    assert "/srv" not in json.dumps(health)
    assert 'journal_buffered_lines{product="tiny_homes",variant="candidate"} 5.0' in client.get("/metrics").text


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    town=st.text(min_size=1, max_size=60).filter(lambda t: t.strip()),
    headers=st.dictionaries(st.sampled_from(sorted(GATEWAY)), st.binary(max_size=40), max_size=5),
)
def test_any_text_makes_one_whole_line_that_the_database_takes(
    settings: ServingSettings, functions: ProductFunctions, served: Served, tmp_path: Any, town: str,
    headers: dict[str, bytes],
) -> None:  # fmt: skip
    journal = FakeJournal()
    metrics = Metrics(PRODUCT, served, tmp_path, journal)
    client = AsgiClient(create_app(settings, functions, served, metrics, Recorder(journal, KEY, PRODUCT)))
    body = json.dumps({**HOME, "town": town}).encode()
    raw = [(name.encode(), value) for name, value in headers.items()] + [(b"content-type", b"application/json")]
    answer = client.post(ROUTE, content=body, headers=raw)
    if answer.status_code != 200:
        assert journal.appended == []
        return
    (line,) = journal.records()
    read = functions.request.model_validate_json(body)
    assert line["features"]["town"] == read.town.replace("\0", "\ufffd")  # type: ignore[attr-defined]
    # Without its escaped backslashes: a text may well spell "\\u0000".
    assert b"\\u0000" not in journal.appended[0].replace(b"\\\\", b"")
