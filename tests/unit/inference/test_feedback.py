"""Feedback: what is taken, what is refused and why, and that nothing is acknowledged that could be lost."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from inference.prediction_id import PredictionIds, uuid7
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.fake_journal import KEY, FakeJournal
from tests.unit.inference.tiny_release import HOME, PRODUCT

PATH = "/api/feedback"
JSON = {"content-type": "application/json"}


@pytest.fixture
def predicted(client: AsgiClient, journal: FakeJournal) -> str:
    """The id of an answered prediction, the journal empty again."""
    identifier: str = client.post("/api/predict_price", json=HOME).json()["prediction_id"]
    journal.appended.clear()
    return identifier


GOOD: list[tuple[str, dict[str, Any], float | None, str | None]] = [
    ("rating", {"feedback_value": 1}, 1.0, None),
    ("rating", {"feedback_value": 5.0, "feedback_text": " nice "}, 5.0, "nice"),
    ("rating", {"feedback_value": "4"}, 4.0, None),
    ("accurate", {}, None, None),
    ("too_high", {"feedback_value": None}, None, None),
    ("too_low", {"feedback_value": 90.5}, 90.5, None),
    ("comment", {"feedback_text": "x" * 2000}, None, "x" * 2000),
    ("comment", {"feedback_text": "a\0b", "feedback_value": ""}, None, "a\ufffdb"),
    ("actual_price", {"feedback_value": 0.01}, 0.01, None),
]


@pytest.mark.parametrize(("kind", "more", "value", "text"), GOOD)
def test_good_feedback_is_logged_and_acknowledged(
    client: AsgiClient, journal: FakeJournal, predicted: str, kind: str, more: dict[str, Any], value: Any, text: Any
) -> None:
    answer = client.post(PATH, json={"prediction_id": predicted, "feedback_type": kind, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "success"
    assert predicted in answer.json()["message"]
    (line,) = journal.records()
    assert uuid.UUID(line.pop("id")).version == 7
    assert abs(line.pop("at") - time.time()) < 60
    assert line == {
        "k": "f", "product": PRODUCT, "prediction_id": predicted, "type": kind, "value": value, "text": text,
    }  # fmt: skip
    sample = f'feedback_total{{product="tiny_homes",type="{kind}",variant="candidate"}} 1.0'
    assert sample in client.get("/metrics").text


@pytest.mark.parametrize("multipart", [False, True])
def test_forms_are_taken(client: AsgiClient, journal: FakeJournal, predicted: str, multipart: bool) -> None:
    form = {"prediction_id": predicted, "feedback_type": "rating", "feedback_value": "3", "feedback_text": ""}
    send = {"files": {k: (None, v) for k, v in form.items()}} if multipart else {"data": form}
    assert client.post(PATH, **send).status_code == 200
    (line,) = journal.records()
    assert (line["value"], line["text"]) == (3.0, None)


def test_id_may_be_in_upper_case(client: AsgiClient, journal: FakeJournal, predicted: str) -> None:
    body = {"prediction_id": predicted.upper(), "feedback_type": "accurate"}
    assert client.post(PATH, json=body).status_code == 200
    assert journal.records()[0]["prediction_id"] == predicted


def test_feedback_on_a_prediction_of_the_other_service_is_taken(client: AsgiClient) -> None:
    elsewhere = PredictionIds(KEY, PRODUCT).new()
    assert client.post(PATH, json={"prediction_id": elsewhere, "feedback_type": "accurate"}).status_code == 200


BAD: list[tuple[str, dict[str, Any]]] = [
    ("feedback_value", {"feedback_value": 0}),
    ("feedback_value", {"feedback_value": 6}),
    ("feedback_value", {"feedback_value": 4.5}),
    ("feedback_value", {"feedback_value": -1}),
    ("feedback_value", {"feedback_value": True}),
    ("feedback_value", {"feedback_value": "five"}),
    ("feedback_value", {"feedback_value": float("nan")}),
    ("feedback_value", {"feedback_value": float("inf")}),
    ("feedback_value", {"feedback_value": [5]}),
    ("feedback_value", {"feedback_value": None}),
    ("feedback_value", {"feedback_value": ""}),
    ("feedback_value", {"feedback_type": "actual_price", "feedback_value": 0}),
    ("feedback_value", {"feedback_type": "actual_price", "feedback_value": -3}),
    ("feedback_value", {"feedback_type": "actual_price", "feedback_value": float("inf")}),
    ("feedback_value", {"feedback_type": "actual_price", "feedback_value": None}),
    ("feedback_value", {"feedback_type": "comment", "feedback_text": "x"}),
    ("feedback_value", {"feedback_type": "too_high", "feedback_value": float("nan")}),
    ("feedback_text", {"feedback_type": "comment", "feedback_value": None}),
    ("feedback_text", {"feedback_type": "comment", "feedback_value": None, "feedback_text": "  "}),
    ("feedback_text", {"feedback_text": "x" * 2001}),
    ("feedback_text", {"feedback_text": 7}),
    ("feedback_type", {"feedback_type": "stars"}),
    ("feedback_type", {"feedback_type": None}),
    ("prediction_id", {"prediction_id": "17"}),
    ("prediction_id", {"prediction_id": ""}),
    ("prediction_id", {"prediction_id": None}),
    ("prediction_id", {"prediction_id": "x" * 5000}),
    ("stars", {"stars": 5}),
    ("variant", {"variant": "candidate"}),
]


@pytest.mark.parametrize(("field", "change"), BAD, ids=lambda value: str(value)[:60])
def test_bad_field_is_named(
    client: AsgiClient, journal: FakeJournal, predicted: str, field: str, change: dict[str, Any]
) -> None:
    body = {"prediction_id": predicted, "feedback_type": "rating", "feedback_value": 4, **change}
    answer = client.post(PATH, content=json.dumps(body), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert {entry["loc"][-1] for entry in answer.json()["detail"]} == {field}
    assert journal.appended == []


def test_unknown_type_lists_the_types(client: AsgiClient, predicted: str) -> None:
    answer = client.post(PATH, json={"prediction_id": predicted, "feedback_type": "stars"})
    message = answer.json()["detail"][0]["msg"]
    for kind in ("rating", "accurate", "too_high", "too_low", "comment", "actual_price"):
        assert f"'{kind}'" in message


def other_ids() -> list[str]:
    forged = PredictionIds(KEY, PRODUCT).new()
    forged = forged[:-1] + ("0" if forged[-1] != "0" else "1")
    return [uuid7(), str(uuid.uuid4()), forged, PredictionIds(KEY, "other").new(), PredictionIds(b"x", PRODUCT).new()]


OTHERS = ("no MAC", "random", "a digit changed", "another product's", "another key's")


@pytest.mark.parametrize("identifier", other_ids(), ids=OTHERS)
def test_id_that_nobody_was_given_is_404(client: AsgiClient, journal: FakeJournal, identifier: str) -> None:
    answer = client.post(PATH, json={"prediction_id": identifier, "feedback_type": "accurate"})
    assert answer.status_code == 404
    assert identifier in answer.json()["detail"]
    assert journal.appended == []


@pytest.mark.parametrize(
    ("days", "status"), [(-89.9, 200), (-90.1, 404), (0.9, 200), (1.1, 404), (-10_000, 404), (10_000, 404)]
)
def test_too_old_and_future_predictions_are_404(
    client: AsgiClient, monkeypatch: pytest.MonkeyPatch, days: float, status: int
) -> None:
    then = time.time_ns() + int(days * 86_400 * 1e9)
    with monkeypatch.context() as moved:
        moved.setattr(time, "time_ns", lambda: then)
        identifier = PredictionIds(KEY, PRODUCT).new()
    answer = client.post(PATH, json={"prediction_id": identifier, "feedback_type": "accurate"})
    assert answer.status_code == status, answer.text


def test_feedback_that_could_be_lost_is_not_acknowledged(
    client: AsgiClient, journal: FakeJournal, predicted: str
) -> None:
    body = {"prediction_id": predicted, "feedback_type": "accurate"}
    journal.problem = "no space left"
    full = client.post(PATH, json=body)
    assert (full.status_code, full.headers["retry-after"]) == (503, "5")
    assert "space" not in full.text
    journal.problem, journal.buffered = None, 1
    assert client.post(PATH, json=body).status_code == 503
    journal.buffered = 0
    assert client.post(PATH, json=body).status_code == 200


def test_feedback_needs_no_model_and_is_no_prediction(client: AsgiClient, served: Any, predicted: str) -> None:
    served.current = None
    assert client.post(PATH, json={"prediction_id": predicted, "feedback_type": "accurate"}).status_code == 200
    client.post(PATH, json={"prediction_id": predicted, "feedback_type": "no"})
    client.post(PATH, content=b"{", headers=JSON)
    lines = client.get("/metrics").text.splitlines()
    assert [line for line in lines if line.startswith("prediction_errors_total{") and not line.endswith(" 0.0")] == []


def test_large_body_is_413(client: AsgiClient, predicted: str) -> None:
    body = {"prediction_id": predicted, "feedback_type": "comment", "feedback_text": "x" * 17_000}
    answer = client.post(PATH, json=body)
    assert answer.status_code == 413
    assert "16384" in answer.json()["detail"]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.lists(st.integers())


@hypothesis_settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    change=st.dictionaries(st.sampled_from(["feedback_value", "feedback_text", "prediction_id", "more"]), VALUES),
    kind=st.sampled_from(["rating", "accurate", "too_high", "too_low", "comment", "actual_price"]) | VALUES,
)
def test_any_body_is_logged_right_or_refused(client: AsgiClient, change: dict[str, Any], kind: Any) -> None:
    body = {"prediction_id": PredictionIds(KEY, PRODUCT).new(), "feedback_type": kind, **change}
    answer = client.post(PATH, content=json.dumps(body), headers=JSON)
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 422:
        fields = {entry["loc"][1] for entry in answer.json()["detail"]}
        assert fields <= {"feedback_type", "feedback_value", "feedback_text", "prediction_id", "more"}
    if answer.status_code == 200 and kind == "rating":
        assert float(change["feedback_value"]) in (1, 2, 3, 4, 5)


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), kind=st.sampled_from([
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "",
]))  # fmt: skip
def test_any_bytes_get_a_json_refusal(client: AsgiClient, body: bytes, kind: str) -> None:
    answer = client.post(PATH, content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 415, 422)
    assert "detail" in answer.json()
