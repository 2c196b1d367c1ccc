"""Runs that are started and cancelled over HTTP, on a real PostgreSQL with a queue that nobody empties."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest
from dagster import DagsterRunStatus
from starlette.exceptions import HTTPException

from mlops_assets.access import audit
from mlops_assets.access.audit import Filters
from mlops_assets.pipelines import launching, naming, run_records, store
from mlops_assets.pipelines.spec import PipelineSpec
from tests.integration.answers import problem
from tests.integration.runs_api import RunsApi
from tests.unit.pipelines.fabricated_runs import recorded, spec_of, tell
from tests.unit.pipelines.made_pipelines import stage


def test_a_run_starts_with_what_it_is_given(api: RunsApi, client: httpx.Client, declared: UUID) -> None:
    order = {
        "parameters": {"rows": "7"}, "environment": "staging", "tags": {"team": "red"}, "notes": "a look",
        "trigger": "WEBHOOK",
    }  # fmt: skip
    answer = client.post("/pipelines/made/runs", json=order)
    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert answer.headers["location"] == f"/api/v1/runs/{run['id']}"
    assert {key: run[key] for key in ("parameters", "environment", "tags", "notes", "trigger")} == order
    assert (run["status"], run["triggered_by"], run["pipeline_id"]) == ("PENDING", "operator", str(declared))
    detail = client.get(answer.headers["location"].removeprefix("/api/v1")).json()
    assert [one["status"] for one in detail["stages"]] == ["PENDING"] * 3
    (act,) = audit.page(api.parts.database, Filters(action="run.start"), 10)
    assert (act.object, act.details) == (run["id"], {"pipeline": "made", "version": 1})
    assert client.post(f"/pipelines/{declared}/runs").status_code == 201
    assert run_records.active_runs(api.instance, declared) == 2


SENSELESS_ORDERS: list[tuple[dict[str, Any], list[str] | None]] = [
    ({"parameters": {"rows": "many", "rwos": 1}}, ["parameters.rwos", "parameters.rows"]),
    ({"parameters": {"rows": 11}}, ["parameters.rows"]),
    ({"parameters": {"name": "a\0b"}}, ["parameters.name"]),
    ({"tags": {"mlops/pipeline": "x"}}, None),
    ({"tags": {"team": "a\0b"}}, ["tags.team"]),
    ({"trigger": "SCHEDULED"}, ["trigger"]),
    ({"color": "red"}, ["color"]),
]


def test_orders_that_make_no_sense_start_nothing(api: RunsApi, client: httpx.Client, declared: UUID) -> None:
    for order, fields in SENSELESS_ORDERS:
        found = problem(client.post("/pipelines/made/runs", json=order), 422)
        assert fields is None or [error["field"] for error in found["errors"]] == fields
    assert client.get("/runs").json()["total"] == 0
    assert not audit.page(api.parts.database, Filters(action="run.start"), 10)


def test_what_is_not_deployed_or_not_there_does_not_start(
    api: RunsApi, client: httpx.Client, spec: PipelineSpec
) -> None:
    made = api.declare(spec, deploy=False)
    assert "deploy" in problem(client.post("/pipelines/made/runs"), 409)["detail"]
    with api.parts.database.session() as session, session.begin():
        store.delete(session, store.find(session, "made"))
    for name in ("made", str(made)):
        problem(client.post(f"/pipelines/{name}/runs"), 404)


def test_a_run_is_of_the_version_that_was_deployed_when_it_started(
    api: RunsApi, client: httpx.Client, spec: PipelineSpec, declared: UUID
) -> None:
    before = client.post("/pipelines/made/runs").json()["id"]
    with api.parts.database.session() as session, session.begin():
        store.add_version(session, store.find(session, "made"), spec_of(stage("only")), "kim", deploy=True)
    after = client.post("/pipelines/made/runs").json()["id"]
    told = [client.get(f"/runs/{run_id}").json() for run_id in (before, after)]
    assert [(run["version"], [one["name"] for one in run["stages"]]) for run in told] == [
        (1, ["load", "train", "report"]), (2, ["only"]),
    ]  # fmt: skip


def test_a_key_starts_one_run_however_often_it_comes(api: RunsApi, client: httpx.Client, declared: UUID) -> None:
    key = {"Idempotency-Key": "k1"}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post("/pipelines/made/runs", headers=key), range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    again = client.post("/pipelines/made/runs", headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert {answer.json()["id"] for answer in [*answers, again] if answer.status_code == 201} == {again.json()["id"]}
    assert client.get("/runs").json()["total"] == 1
    problem(client.post("/pipelines/made/runs", headers=key, json={"notes": "another"}), 422)
    assert client.post("/pipelines/made/runs", headers={"Idempotency-Key": "k2"}).json()["id"] != again.json()["id"]


@pytest.mark.parametrize("submitted", [False, True])
def test_a_key_whose_answer_was_lost_in_a_crash_finds_the_run_that_it_has_started(
    api: RunsApi, client: httpx.Client, declared: UUID, monkeypatch: pytest.MonkeyPatch, submitted: bool
) -> None:
    launch, submit = launching.launch, type(api.instance).submit_run

    def dies(*given: Any) -> str:
        launch(*given)
        raise HTTPException(503, "the process ends here")

    monkeypatch.setattr(launching, "launch", dies)
    if not submitted:
        monkeypatch.setattr(type(api.instance), "submit_run", lambda *_: None)
    key = {"Idempotency-Key": "k1"}
    assert client.post("/pipelines/made/runs", headers=key).status_code == 503
    monkeypatch.setattr(launching, "launch", launch)
    monkeypatch.setattr(type(api.instance), "submit_run", submit)
    answer = client.post("/pipelines/made/runs", headers=key)
    assert answer.status_code == 201
    assert client.get("/runs").json()["total"] == 1
    run = api.instance.get_run_by_id(answer.json()["id"])
    assert run is not None
    assert run.status is DagsterRunStatus.QUEUED


def test_a_pipeline_is_not_deleted_while_a_run_of_it_is_being_started(
    api: RunsApi, client: httpx.Client, declared: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, starting, go_on = launching.launch, threading.Event(), threading.Event()

    def slowly(*given: Any) -> str:
        starting.set()
        assert go_on.wait(20)
        return launch(*given)

    monkeypatch.setattr(launching, "launch", slowly)

    def delete() -> int:
        with api.parts.database.session() as session, session.begin():
            found = store.find(session, "made", lock=True)
            return run_records.active_runs(api.instance, found.id)

    with ThreadPoolExecutor(2) as threads:
        started = threads.submit(client.post, "/pipelines/made/runs")
        assert starting.wait(20)
        active = threads.submit(delete)
        go_on.set()
        assert started.result(20).status_code == 201
        assert active.result(20) == 1


def test_a_waiting_run_is_cancelled_at_once_and_a_finished_one_says_so(
    api: RunsApi, client: httpx.Client, declared: UUID
) -> None:
    run_id = client.post("/pipelines/made/runs").json()["id"]
    answer = client.post(f"/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert {one["status"] for one in client.get(f"/runs/{run_id}").json()["stages"]} == {"SKIPPED"}
    assert "CANCELLED" in problem(client.post(f"/runs/{run_id}/cancel"), 409)["detail"]
    (act,) = audit.page(api.parts.database, Filters(action="run.cancel"), 10)
    assert (act.object, act.details) == (run_id, {"pipeline": "made"})
    assert run_records.active_runs(api.instance, declared) == 0


def test_a_run_that_is_being_cancelled_stays_so(
    api: RunsApi, client: httpx.Client, spec: PipelineSpec, declared: UUID
) -> None:
    run_id = recorded(api.instance, spec, status=DagsterRunStatus.CANCELING, tags=api.tags(spec, declared))
    for _ in range(2):
        assert client.post(f"/runs/{run_id}/cancel").json()["status"] == "RUNNING"
    assert not audit.page(api.parts.database, Filters(action="run.cancel"), 10)
    tell(api.instance, spec, run_id, "RUN_FAILURE")
    assert "FAILED" in problem(client.post(f"/runs/{run_id}/cancel"), 409)["detail"]


def test_texts_of_the_longest_kind_are_kept(api: RunsApi, client: httpx.Client, declared: UUID) -> None:
    draw = random.Random(1)

    def text(length: int) -> str:
        return "".join(chr(draw.randrange(0x20000, 0x2A6DF)) for _ in range(length))

    order = {"notes": text(500), "environment": text(100), "tags": {"x" * 63 + "/" + "y" * 63: text(256)}}
    answer = client.post("/pipelines/made/runs", json=order)
    assert answer.status_code == 201, answer.text
    assert {key: answer.json()[key] for key in order} == order


def test_the_name_of_every_tag_of_the_platform_is_kept_out_of_what_people_see(
    api: RunsApi, client: httpx.Client, spec: PipelineSpec, declared: UUID
) -> None:
    run_id = client.post("/pipelines/made/runs").json()["id"]
    run = api.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags[naming.PIPELINE_TAG] == str(declared)
    assert client.get(f"/runs/{run_id}").json()["tags"] == {}
