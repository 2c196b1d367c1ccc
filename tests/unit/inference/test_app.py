"""The HTTP contract of one product: answers, bad input, limits, state pages."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from inference.model import NotFiniteError
from inference.served import Served, Serving
from tests.unit.inference.asgi_client import AsgiClient
from tests.unit.inference.tiny_release import HOME, expected

ROUTE = "/api/predict_price"
JSON = {"content-type": "application/json"}


def metric(client: AsgiClient, name: str, **labels: str) -> float:
    """The value of one sample of /metrics; 0 if it isn't there."""
    wanted = {"product": "tiny_homes", "variant": "candidate", **labels}
    for line in client.get("/metrics").text.splitlines():
        sample, _, value = line.rpartition(" ")
        found, _, rest = sample.partition("{")
        pairs = dict(pair.split("=", 1) for pair in rest.rstrip("}").split(",")) if rest else {}
        if found == name and {k: v.strip('"') for k, v in pairs.items()} == wanted:
            return float(value)
    return 0.0


def test_json_answer_has_every_promised_key(client: AsgiClient) -> None:
    answer = client.post(ROUTE, json=HOME).json()
    identifier = uuid.UUID(answer.pop("prediction_id"))
    assert identifier.version == 7
    assert identifier.variant == uuid.RFC_4122
    assert answer.pop("response_time_ms") > 0
    assert answer == {
        "price": 220.0,
        "interval": {"low": 176.0, "high": 275.0},
        "unit": "coins",
        "model_version": 3,
        "variant": "candidate",
        "sample_data": True,
    }


@pytest.mark.parametrize("send", [{"data": HOME}, {"files": {k: (None, str(v)) for k, v in HOME.items()}}])
def test_forms_answer_like_json(client: AsgiClient, send: dict[str, Any]) -> None:
    answer = client.post(ROUTE, **send)
    assert answer.status_code == 200, answer.text
    assert answer.json()["price"] == 220.0


def test_unknown_town_is_answered_with_a_note(client: AsgiClient) -> None:
    answer = client.post(ROUTE, json={**HOME, "town": "Atlantis"}).json()
    assert answer["price"] == 120.0
    assert len(answer["notes"]) == 1
    assert "'Atlantis'" in answer["notes"][0]


def test_known_town_in_other_spelling_has_no_note(client: AsgiClient) -> None:
    assert "notes" not in client.post(ROUTE, json={**HOME, "town": " lake   SIDE"}).json()


BAD_FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("area", {"area": None}),
    ("area", {"area": "big"}),
    ("area", {"area": -1}),
    ("area", {"area": 0}),
    ("area", {"area": 1e300}),
    ("area", {"area": 10**400}),
    ("area", {"area": float("nan")}),
    ("area", {"area": float("inf")}),
    ("area", {"area": float("-inf")}),
    ("area", {"area": {"value": 1}}),
    ("area", {"area": [1]}),
    ("rooms", {"rooms": 1.5}),
    ("rooms", {"rooms": "two"}),
    ("rooms", {"rooms": 10**30}),
    ("rooms", {"rooms": 0}),
    ("town", {"town": 7}),
    ("town", {"town": ""}),
    ("town", {"town": "   "}),
    ("town", {"town": "x" * 121}),
    ("town", {"town": ["Old Town"]}),
    ("colour", {"colour": "red"}),
    ("__class__", {"__class__": "x"}),
]


@pytest.mark.parametrize(("field", "change"), BAD_FIELDS, ids=lambda value: str(value)[:30])
def test_bad_field_is_named(client: AsgiClient, field: str, change: dict[str, Any]) -> None:
    answer = client.post(ROUTE, content=json.dumps({**HOME, **change}), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert {entry["loc"][-1] for entry in answer.json()["detail"]} == {field}
    assert all(set(entry) == {"loc", "msg", "type"} for entry in answer.json()["detail"])
    assert metric(client, "prediction_errors_total", status="422") == 1


@pytest.mark.parametrize("field", HOME)
def test_missing_field_is_named(client: AsgiClient, field: str) -> None:
    answer = client.post(ROUTE, json={k: v for k, v in HOME.items() if k != field})
    assert answer.status_code == 422
    assert [entry["loc"][-1] for entry in answer.json()["detail"]] == [field]


@pytest.mark.parametrize(("body", "field"), [("area=nan&rooms=1&town=x", "area"), ("rooms=1&town=x", "area")])
def test_bad_form_field_is_named(client: AsgiClient, body: str, field: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post(ROUTE, content=body, headers=form)
    assert answer.status_code == 422
    assert [entry["loc"][-1] for entry in answer.json()["detail"]] == [field]


def test_form_field_given_twice_is_refused(client: AsgiClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post(ROUTE, content="area=1&area=2&rooms=1&town=x", headers=form)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "area"]


def test_uploaded_file_is_refused(client: AsgiClient) -> None:
    answer = client.post(ROUTE, files={"area": ("a.txt", b"1")})
    assert answer.status_code == 400
    assert "detail" in answer.json()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'area': 1}",
        b"\xff\xfe",
        b'{"area": 1}}',
        b'{"town": "\\ud800"}',
        b"[" * 900,
        b'{"area": }',
    ],
)
def test_broken_json_is_400(client: AsgiClient, body: bytes) -> None:
    answer = client.post(ROUTE, content=body, headers=JSON)
    assert answer.status_code == 400, answer.text
    assert "JSON" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"', b"[1, 2]"])
def test_json_that_is_no_object_is_422(client: AsgiClient, body: bytes) -> None:
    answer = client.post(ROUTE, content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body"]


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/octet-stream", ""])
@pytest.mark.parametrize("path", [ROUTE, f"{ROUTE}/batch"])
def test_other_content_types_are_415(client: AsgiClient, path: str, kind: str) -> None:
    answer = client.post(path, content=json.dumps(HOME), headers={"content-type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


def test_declared_and_streamed_bodies_over_the_limit_are_413(client: AsgiClient) -> None:
    big = json.dumps({**HOME, "town": "x" * 4000}).encode()
    declared = client.post(ROUTE, content=big, headers=JSON)
    streamed = client.post(ROUTE, content=iter([big[:1500], big[1500:]]), headers=JSON)
    assert (declared.status_code, streamed.status_code) == (413, 413)
    assert "2048" in declared.json()["detail"]
    assert "2048" in streamed.json()["detail"]
    assert metric(client, "prediction_errors_total", status="413") == 2


def test_streamed_body_under_the_limit_is_answered(client: AsgiClient) -> None:
    body = json.dumps(HOME).encode()
    assert client.post(ROUTE, content=iter([body[:9], body[9:]]), headers=JSON).status_code == 200


def test_wrong_method_and_path_are_json(client: AsgiClient) -> None:
    assert (client.get(ROUTE).status_code, client.get(ROUTE).json()) == (
        405,
        {"detail": "Method Not Allowed"},
    )
    missing = client.post("/api/nothing", json={})
    assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})


def test_batch_answers_in_order_each_row_or_its_error(client: AsgiClient) -> None:
    rows: list[Any] = [
        HOME,
        {**HOME, "area": -1},
        {**HOME, "town": "Lake Side"},
        7,
        {**HOME, "colour": "red"},
    ]
    answer = client.post(f"{ROUTE}/batch", json={"records": rows})
    assert answer.status_code == 200, answer.text
    first, second, third, fourth, fifth = answer.json()["predictions"]
    assert first["price"] == 220.0
    assert second == {"error": {"field": "area", "message": "Input should be greater than 0"}}
    assert third["price"] == 320.0
    assert fourth["error"]["field"] == ""
    assert fifth["error"]["field"] == "colour"
    assert first["prediction_id"] != third["prediction_id"]
    assert metric(client, "predictions_total") == 2
    assert metric(client, "prediction_errors_total", status="422") == 3


def test_batch_of_bad_rows_only_is_answered(client: AsgiClient) -> None:
    answer = client.post(f"{ROUTE}/batch", json={"records": [{}, {}]})
    assert answer.status_code == 200
    assert [set(row) for row in answer.json()["predictions"]] == [{"error"}, {"error"}]


def test_large_batch_equals_single_answers(client: AsgiClient) -> None:
    padded = [{**HOME, "area": area, "town": "Old Town" + " " * 100} for area in (100, 200, 300, 400, 500)]
    body = json.dumps({"records": padded}, indent=200)
    assert len(body) > 4096
    answer = client.post(f"{ROUTE}/batch", content=body, headers=JSON).json()["predictions"]
    alone = [client.post(ROUTE, json=row).json()["price"] for row in padded]
    assert [row["price"] for row in answer] == alone


@pytest.mark.parametrize(
    ("body", "where"),
    [({"records": []}, "records"), ({"records": [HOME] * 6}, "records"), ({}, "records"),
     ({"records": HOME}, "records"), ({"records": [HOME], "more": 1}, "more")],
)  # fmt: skip
def test_bad_batch_is_422(client: AsgiClient, body: dict[str, Any], where: str) -> None:
    answer = client.post(f"{ROUTE}/batch", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][1] == where


def test_without_model_predictions_are_503_and_the_rest_works(client: AsgiClient, served: Served) -> None:
    served.current = None
    for answer in (
        client.post(ROUTE, json=HOME), client.post(f"{ROUTE}/batch", json={"records": [HOME]}),
        client.get("/api/get_towns"), client.get("/readyz"),
    ):  # fmt: skip
        assert answer.status_code == 503
        assert answer.json()
    assert client.get("/readyz").json() == {"ready": False, "version": None, "variant": "standby", "failure": None}
    assert client.post(ROUTE, json=HOME).headers["retry-after"] == "1"
    body = client.get("/api/health").json()
    assert (body["status"], body["model"]) == ("degraded", None)
    assert "no model" in body["reasons"][0]
    assert client.get("/livez").status_code == 200


def test_fault_is_500_with_an_id_and_nothing_else(
    client: AsgiClient, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        version = 9

        def estimate(self, requests: object) -> list[object]:
            raise NotFiniteError("secret detail")

    served.current = Serving(Broken(), "candidate")  # type: ignore[arg-type]
    for path, body in ((ROUTE, HOME), (f"{ROUTE}/batch", {"records": [HOME]})):
        answer = client.post(path, json=body)
        assert answer.status_code == 500
        assert set(answer.json()) == {"detail", "fault_id"}
        assert "secret" not in answer.text
        assert answer.json()["fault_id"] in caplog.text
    assert metric(client, "prediction_errors_total", status="500") == 2


def test_vocabulary(client: AsgiClient) -> None:
    assert client.get("/api/get_towns").json() == {"towns": ["Lake Side", "Old Town"]}


def test_health_tells_what_serves(client: AsgiClient, served: Served) -> None:
    body = client.get("/api/health").json()
    assert (body["status"], body["product"], body["model_variant"]) == ("ok", "tiny_homes", "candidate")
    assert set(body["system"]) == {
        "cpu_percent", "memory_percent", "memory_available_gb", "disk_percent", "disk_free_gb",
    }  # fmt: skip
    assert body["model"]["version"] == 3
    assert body["model"]["dataset"]["sample"] is True
    assert body["model"]["age_seconds"] > 0
    served.failure = "release 4 can't serve: broken"
    degraded = client.get("/api/health").json()
    assert (degraded["status"], degraded["reasons"]) == ("degraded", ["release 4 can't serve: broken"])


def test_state_pages_tell_no_folder_of_this_machine(client: AsgiClient, served: Served) -> None:
    served.failure = (
        "release 4 can't serve: /srv/my data/x/model.onnx: its SHA-256 differs (file:///tmp/a/b/release.json)"
    )
    served.database_failure = 'connection to server on socket "/run/pg/.s.PGSQL.5432" failed; s3://bucket/key/model'
    ready = client.get("/readyz").json()
    text = json.dumps(client.get("/api/health").json()) + json.dumps(ready)
    for part in ("/srv", "/tmp", "/run", "a/b"):
        assert part not in text
    for part in ("model.onnx: its SHA-256", "(release.json)", ".s.PGSQL.5432", "s3://bucket/key/model"):
        assert part in text
    assert (ready["ready"], ready["version"], ready["variant"]) == (True, 3, "candidate")


def test_metrics_count_answers(client: AsgiClient) -> None:
    for _ in range(3):
        client.post(ROUTE, json=HOME)
    assert metric(client, "predictions_total") == 3
    assert metric(client, "prediction_duration_seconds_count") == 3
    assert 0 < metric(client, "system_memory_percent") < 100


def test_docs_need_nothing_from_outside(client: AsgiClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"docs-files/{name}" in page
        assert client.get(f"/docs-files/{name}").status_code == 200
    for name in ("../app.py", "%2e%2e/base_app.py"):
        assert client.get(f"/docs-files/{name}").status_code == 404


def test_openapi_examples_are_accepted(client: AsgiClient) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"][ROUTE]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "application/x-www-form-urlencoded", "multipart/form-data"}
    assert client.post(ROUTE, json=content["application/json"]["example"]).status_code == 200
    batch = document["paths"][f"{ROUTE}/batch"]["post"]["requestBody"]["content"]["application/json"]
    assert client.post(f"{ROUTE}/batch", json=batch["example"]).status_code == 200
    schemas = document["components"]["schemas"]
    for schema in content.values():
        assert schema["schema"]["$ref"].rpartition("/")[2] in schemas
    answer = client.post(ROUTE, json={**HOME, "town": "Atlantis"}).json()
    assert set(answer) <= set(schemas["Prediction"]["properties"])
    assert set(schemas["Prediction"]["required"]) <= set(answer)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fuzzing = hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzzing
@given(change=st.dictionaries(st.sampled_from(["area", "rooms", "town", "floor", "other"]), JSON_VALUES, max_size=4))
def test_any_values_are_answered_or_named(client: AsgiClient, change: dict[str, Any]) -> None:
    answer = client.post(ROUTE, content=json.dumps({**HOME, **change}), headers=JSON)
    if answer.status_code == 200:
        body = answer.json()
        assert body["interval"]["low"] <= body["price"] <= body["interval"]["high"]
        return
    assert answer.status_code in (400, 422, 413)
    if answer.status_code == 422:
        assert {entry["loc"][1] for entry in answer.json()["detail"]} <= set(change)


@fuzzing
@given(body=st.binary(max_size=300), kind=st.sampled_from([
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "multipart/form-data", "Application/JSON; charset=utf-8",
]), path=st.sampled_from([ROUTE, f"{ROUTE}/batch"]))  # fmt: skip
def test_any_bytes_get_a_json_refusal(client: AsgiClient, body: bytes, kind: str, path: str) -> None:
    answer = client.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 415, 422)
    assert "detail" in answer.json()


@fuzzing
@given(area=st.floats(0.01, 20_000), rooms=st.integers(1, 50), town=st.text(min_size=1, max_size=60))
def test_valid_requests_get_the_models_answer(client: AsgiClient, area: float, rooms: int, town: str) -> None:
    if not town.strip():
        return
    try:
        town.encode()
    except UnicodeEncodeError:
        return
    request = {"area": area, "rooms": rooms, "town": town}
    answer = client.post(ROUTE, content=json.dumps(request, ensure_ascii=False).encode(), headers=JSON)
    assert answer.status_code == 200, answer.text
    assert answer.json()["price"] == pytest.approx(expected(request, 0.1)["estimate"], rel=1e-4, abs=0.01)
