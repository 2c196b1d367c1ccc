"""A detector over HTTP: score, verdict and reasons of one record and of many, and what it refuses."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from inference.reasons import MOST_EXPLAINED
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.fake_journal import FakeJournal
from tests.unit.inference.traffic_release import CATEGORICAL, ODD, USUAL, expected, traffic_app, write_traffic_release

ROUTE = "/api/score_accident"
REQUIRED = {name: USUAL[name] for name in ("crash_date", "first_crash_type")}
BARE = {**REQUIRED, "first_crash_type": "UNKNOWN"}


@pytest.fixture(scope="module")
def journal() -> FakeJournal:
    return FakeJournal()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, journal: FakeJournal) -> AsgiClient:
    release = write_traffic_release(tmp_path_factory.mktemp("releases") / "one", version=3)
    return AsgiClient(traffic_app(release, journal))


@pytest.fixture(autouse=True)
def _empty(journal: FakeJournal) -> None:
    journal.appended.clear()


def test_answer_has_every_promised_key_and_is_what_is_logged(client: AsgiClient, journal: FakeJournal) -> None:
    answer = client.post(ROUTE, json=ODD).json()
    (line,) = journal.records()
    assert line["id"] == answer.pop("prediction_id")
    assert answer.pop("response_time_ms") > 0
    assert (answer.pop("model_version"), answer.pop("variant")) == (3, "production")
    assert answer == line["output"]
    assert 1 <= len(answer.pop("reasons")) <= 3
    wanted = expected(ODD)
    score = answer.pop("anomaly_score")
    assert score == pytest.approx(wanted["anomaly_score"], abs=1e-6)
    assert score == round(score, 6)
    assert answer == {"anomaly_pred": -1, "sample_data": True}
    assert line["features"]["crash_date"] == "2023-02-05T04:10:00"
    assert line["features"]["crash_hour"] == 4


def test_reasons_name_what_the_record_says(client: AsgiClient) -> None:
    told = " ".join(client.post(ROUTE, json=ODD).json()["reasons"])
    assert sum(str(value) in told for value in ODD.values()) >= 2, told
    usual = client.post(ROUTE, json=USUAL).json()
    assert (usual["anomaly_pred"], len(usual["reasons"]) > 0) == (1, True)


@pytest.mark.parametrize("multipart", [False, True])
def test_forms_answer_like_json(client: AsgiClient, multipart: bool) -> None:
    form = {name: str(value) for name, value in ODD.items()}
    send = {"files": {k: (None, v) for k, v in form.items()}} if multipart else {"data": form}
    found, wanted = client.post(ROUTE, **send).json(), client.post(ROUTE, json=ODD).json()
    assert [found[key] for key in ("anomaly_score", "reasons")] == [wanted[key] for key in ("anomaly_score", "reasons")]


def test_order_of_the_columns_and_format_of_the_date_change_nothing(client: AsgiClient) -> None:
    names = list(ODD)
    random.Random(1).shuffle(names)
    shuffled = {name: ODD[name] for name in names} | {"crash_date": "02/05/2023 04:10:00 AM"}
    found, wanted = client.post(ROUTE, json=shuffled).json(), client.post(ROUTE, json=ODD).json()
    assert [found[key] for key in ("anomaly_score", "reasons")] == [wanted[key] for key in ("anomaly_score", "reasons")]


def test_a_word_that_training_never_saw_is_answered_with_a_note(client: AsgiClient) -> None:
    answer = client.post(ROUTE, json={**ODD, "weather_condition": "Frogs"}).json()
    (note,) = answer["notes"]
    assert "weather_condition 'FROGS'" in note
    known = client.post(ROUTE, json={**ODD, "weather_condition": " sleet/hail"}).json()
    assert "notes" not in known


def test_words_that_training_never_saw_everywhere(client: AsgiClient) -> None:
    answer = client.post(ROUTE, json={**USUAL, **dict.fromkeys(CATEGORICAL, "<b>Ω\0{}|</b>")})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["notes"]) == len(CATEGORICAL)


@pytest.mark.parametrize("told", ["UNKNOWN", "unknown", " "])
def test_unknown_everywhere_is_an_answer_without_notes(client: AsgiClient, told: str) -> None:
    body = {**dict.fromkeys(CATEGORICAL, told), **BARE}
    answer, bare = client.post(ROUTE, json=body).json(), client.post(ROUTE, json=BARE).json()
    assert "notes" not in answer
    assert answer["anomaly_score"] == bare["anomaly_score"]
    assert answer["reasons"] == bare["reasons"]


@pytest.mark.parametrize(
    "told", ["02/30/2023 01:00:00 PM", "13:00", "29/07/2023 01:00:00 PM", "2023-07-29T25:00:00",
             "07/29/1023 01:00:00 PM", "2023-07-29T13:00:00Z", "", None, 1690635600, {"year": 2023}],
)  # fmt: skip
def test_an_impossible_date_is_refused_by_name(client: AsgiClient, told: Any) -> None:
    answer = client.post(ROUTE, json={**USUAL, "crash_date": told})
    assert answer.status_code == 422
    assert [entry["loc"] for entry in answer.json()["detail"]] == [["body", "crash_date"]]


def test_batch_answers_in_order_and_explains_the_anomalies(client: AsgiClient, journal: FakeJournal) -> None:
    rows: list[Any] = [USUAL, {**USUAL, "crash_date": "02/30/2023 01:00:00 PM"}, ODD, 7]
    usual, wrong, odd, none = client.post(f"{ROUTE}/batch", json={"records": rows}).json()["predictions"]
    alone = client.post(ROUTE, json=ODD).json()
    assert (usual["anomaly_pred"], usual["reasons"]) == (1, [])
    assert wrong["error"]["field"] == "crash_date"
    assert none["error"]["field"] == ""
    assert [odd[key] for key in ("anomaly_pred", "anomaly_score", "reasons")] == [
        alone[key] for key in ("anomaly_pred", "anomaly_score", "reasons")
    ]
    assert [line["output"]["anomaly_pred"] for line in journal.records()] == [1, -1, -1]


def test_of_many_anomalies_the_lowest_scores_are_explained(client: AsgiClient) -> None:
    rows = [{**ODD, "num_units": 2 + 2 * number} for number in range(40)]
    found = client.post(f"{ROUTE}/batch", json={"records": rows}).json()["predictions"]
    assert {one["anomaly_pred"] for one in found} == {-1}
    explained = [one["anomaly_score"] for one in found if one["reasons"]]
    assert len(explained) == MOST_EXPLAINED
    assert max(explained) <= min(one["anomaly_score"] for one in found if not one["reasons"])


def test_batch_of_one_is_explained_like_a_record(client: AsgiClient) -> None:
    (one,) = client.post(f"{ROUTE}/batch", json={"records": [USUAL]}).json()["predictions"]
    assert one["reasons"] == client.post(ROUTE, json=USUAL).json()["reasons"]


def test_batch_under_another_key_is_refused(client: AsgiClient) -> None:
    answer = client.post(f"{ROUTE}/batch", json={"listings": [USUAL]})
    assert answer.status_code == 422
    assert {entry["loc"][1] for entry in answer.json()["detail"]} == {"records", "listings"}


def test_openapi_tells_a_detectors_answer(client: AsgiClient) -> None:
    document = client.get("/openapi.json").json()
    schemas, paths = document["components"]["schemas"], document["paths"]
    for path in (ROUTE, f"{ROUTE}/batch"):
        example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert client.post(path, json=example).status_code == 200
    answer = client.post(ROUTE, json={**ODD, "weather_condition": "Frogs"}).json()
    assert set(answer) <= set(schemas["Prediction"]["properties"])
    assert set(schemas["Prediction"]["required"]) <= set(answer)
    assert "unit" not in schemas["Prediction"]["properties"]
    kinds = schemas["DetectorFeedback"]["properties"]["feedback_type"]["enum"]
    assert set(kinds) == {"rating", "accurate", "comment"}


def test_feedback_takes_what_one_can_know_of_a_score(client: AsgiClient, journal: FakeJournal) -> None:
    identifier = client.post(ROUTE, json=USUAL).json()["prediction_id"]
    journal.appended.clear()
    said: list[dict[str, Any]] = [
        {"feedback_type": "accurate"}, {"feedback_type": "rating", "feedback_value": 2},
        {"feedback_type": "comment", "feedback_text": "an ordinary crash"},
    ]  # fmt: skip
    for given_ in said:
        assert client.post("/api/feedback", json={"prediction_id": identifier, **given_}).status_code == 200
    for kind in ("actual_price", "too_high", "too_low"):
        body = {"prediction_id": identifier, "feedback_type": kind, "feedback_value": 0.2}
        answer = client.post("/api/feedback", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "feedback_type"]
    assert (
        client.post("/api/feedback", json={"prediction_id": identifier, "feedback_type": "rating"}).status_code == 422
    )
    assert [line["type"] for line in journal.records()] == ["accurate", "rating", "comment"]


def test_form_asks_for_two_things_and_leaves_the_rest_open(client: AsgiClient) -> None:
    form = client.get("/api/form").json()
    assert (form["kind"], form["answer"]) == ("anomaly", "anomaly_score")
    assert {field["name"] for field in form["fields"] if field["required"]} == set(REQUIRED)
    kinds = {field["name"]: field["type"] for field in form["fields"]}
    assert (kinds["crash_date"], kinds["weather_condition"], kinds["num_units"]) == ("text", "text", "integer")
    record = {field["name"]: field["example"] for field in form["fields"]}
    assert client.post(f"/{form['route']}", json=record).status_code == 200


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=90), st.lists(st.integers(), max_size=2)
)


@hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.dictionaries(st.sampled_from([*ODD, "crash_hour", "other"]), VALUES, max_size=5))
def test_any_values_are_answered_or_named(client: AsgiClient, change: dict[str, Any]) -> None:
    answer = client.post(ROUTE, content=json.dumps({**USUAL, **change}), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 200:
        assert answer.json()["anomaly_pred"] == (-1 if answer.json()["anomaly_score"] < 0 else 1)
