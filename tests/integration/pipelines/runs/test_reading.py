"""Runs read over HTTP on a real PostgreSQL: lists, one run, statistics; who may, and what is down."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.access import tokens
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.pipelines import store
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.storage.database import Database
from mlops_assets.storage.pipeline_tables import Artifact
from tests.integration.answers import problem
from tests.integration.runs_api import RunsApi, runs_api
from tests.servers import free_port
from tests.unit.pipelines.fabricated_runs import executed, recorded, spec_of

BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)
ODD_IDS = [
    "x",
    "1",
    "None",
    str(uuid4()).upper(),
    f"{{{uuid4()}}}",
    "%00",
    "ä" * 50,
    "x" * 3000,
    "..%2f..",
    "%F0%9F%92%A3",
]


def test_a_run_is_told_whole(api: RunsApi, client: httpx.Client, spec: PipelineSpec, declared: UUID) -> None:
    run_id = executed(api.instance, spec, {"train": ["fails"]}, api.tags(spec, declared, team="red"))
    with api.parts.database.session() as session, session.begin():
        kept = [artifact(declared, run_id, "load", name) for name in ("result", "plot")]
        session.add_all(kept)
    run = client.get(f"/runs/{run_id}").json()
    assert (run["pipeline"], run["pipeline_id"], run["version"]) == ("made", str(declared), 1)
    assert (run["status"], run["succeeded"], run["failed"]) == ("FAILED", 1, 1)
    assert (run["error"], run["parameters"], run["tags"]) == (
        "train: ValueError: bad rows",
        {"rows": 3},
        {"team": "red"},
    )
    assert run["dagster_url"].endswith(f"/runs/{run_id}")
    assert run["duration_seconds"] >= 0
    assert [(one["name"], one["status"], one["attempt"]) for one in run["stages"]] == [
        ("load", "COMPLETED", 1), ("train", "FAILED", 1), ("report", "SKIPPED", 0),
    ]  # fmt: skip
    load, train, _ = run["stages"]
    assert set(load["artifacts"]) == {str(one.id) for one in kept}
    assert (load["peak_memory_bytes"], load["wall_seconds"], load["error"]) == (1000, 1.5, None)
    assert train["error"] == {"type": "ValueError", "message": "bad rows", "traceback": "tb", "line": 7}


def artifact(pipeline_id: UUID, run_id: str, name: str, file: str) -> Artifact:
    return Artifact(
        id=uuid4(), pipeline_id=pipeline_id, pipeline_version=1, run_id=run_id, stage=name, attempt=1,
        is_result=file == "result", name=file, type="DATASET", storage="LOCAL", format="json", size=10,
        sha256="0" * 64, type_name="dict", uri=None if file == "gone" else f"x/{file}", details={}, preview={},
    )  # fmt: skip


def test_ids_of_any_shape_that_are_no_runs_are_404(client: httpx.Client, declared: UUID, api: RunsApi) -> None:
    product = recorded(api.instance, spec_of(), tags={"team": "red"})
    for odd in [*ODD_IDS, str(uuid4()), product]:
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            assert client.request(method, f"/runs/{odd}{path}").status_code == 404, (method, odd)
        if odd != product:
            assert client.get(f"/pipelines/{odd}/runs").status_code == 404
            assert client.post(f"/pipelines/{odd}/runs").status_code == 404
    problem(client.get("/runs", params={"pipeline": "nobody"}), 404)


def test_lists_are_paged_filtered_and_counted(api: RunsApi, client: httpx.Client, spec: PipelineSpec) -> None:
    first, second = api.declare(spec), api.declare(spec_of(name="second"))
    done, failed = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE
    mine = [recorded(api.instance, spec, status=done, tags=api.tags(spec, first, team="red")) for _ in range(5)]
    other = recorded(api.instance, spec, status=failed, tags=api.tags(spec, second, mlops__trigger="WEBHOOK"))

    def asked(path: str = "/runs", **params: Any) -> tuple[list[str], int]:
        answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return [run["id"] for run in answer.json()["items"]], answer.json()["total"]

    assert asked() == ([other, *mine[::-1]], 6)
    assert (
        asked(f"/pipelines/{first}/runs") == asked("/pipelines/made/runs") == asked(pipeline="made") == (mine[::-1], 5)
    )
    assert asked(status=["FAILED", "CANCELLED"]) == asked(trigger="WEBHOOK") == ([other], 1)
    assert asked(tag="team=red", sort="created_at") == (mine, 5)
    seen: list[str] = []
    cursor: str | None = None
    while not seen or cursor is not None:
        page = client.get("/runs", params={"limit": 4, **({"cursor": cursor} if cursor else {})}).json()
        seen += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [other, *mine[::-1]]
    moment = client.get(f"/runs/{mine[2]}").json()["created_at"]
    assert asked(until=moment, sort="created_at") == (mine[:2], 2)
    with api.parts.database.session() as session, session.begin():
        store.delete(session, store.find(session, "made"))
    assert asked(f"/pipelines/{first}/runs")[1] == 5
    assert client.get("/pipelines/made/runs").status_code == 404


SENSELESS_QUESTIONS: list[dict[str, Any]] = [
        {"limit": 0}, {"limit": 501}, {"cursor": "x"}, {"cursor": str(uuid4())}, {"status": "DONE"}, {"trigger": "x"},
        {"since": "yesterday"}, {"since": "2025-01-01T00:00:00"}, {"until": "0001-01-01T00:00:00+14:00"},
        {"since": "9999-12-31T23:59:59-12:00"}, {"tag": ""}, {"tag": "a\0b"}, {"sort": "name"},
]  # fmt: skip


def test_what_can_not_be_asked_of_runs_is_refused(client: httpx.Client) -> None:
    for asked in SENSELESS_QUESTIONS:
        assert next(iter(asked)) in problem(client.get("/runs", params=asked), 422)["detail"]


def test_viewers_read_editors_start_and_nobody_else_gets_in(api: RunsApi, declared: UUID) -> None:
    reader, author = (tokens.create(api.parts.database, BY, name, role) for name, role in ROLES)
    with api.client(author) as editor, api.client(reader) as viewer, api.client(None) as nobody:
        run_id = editor.post("/pipelines/made/runs").json()["id"]
        assert editor.get(f"/runs/{run_id}").json()["triggered_by"] == "author"
        for path in ("/runs", f"/runs/{run_id}", "/pipelines/made/runs", "/statistics"):
            assert viewer.get(path).status_code == 200, path
            problem(nobody.get(path), 401)
        problem(nobody.get(f"/runs/{run_id}/events"), 401)
        for path in ("/pipelines/made/runs", f"/runs/{run_id}/cancel"):
            problem(viewer.post(path), 403)
        assert editor.post(f"/runs/{run_id}/cancel").status_code == 200


ROLES = (("reader", Role.VIEWER), ("author", Role.EDITOR))


def test_statistics_count_what_is_there(api: RunsApi, client: httpx.Client, spec: PipelineSpec) -> None:
    empty = client.get("/statistics").json()
    assert (empty["runs"]["total"], empty["runs"]["success_rate"], empty["pipelines"]["total"]) == (0, None, 0)
    made = api.declare(spec)
    api.declare(spec_of(name="later", schedule="0 6 * * *", active=False), deploy=False)
    for status in (*["SUCCESS"] * 3, "FAILURE", "QUEUED"):
        recorded(api.instance, spec, status=DagsterRunStatus(status), tags=api.tags(spec, made))
    recorded(api.instance, spec, status=DagsterRunStatus.SUCCESS, tags={"team": "of a product"})
    with api.parts.database.session() as session, session.begin():
        session.add_all([artifact(made, "r", "load", name) for name in ("result", "plot", "gone")])
    found = client.get("/statistics").json()
    assert found["pipelines"] == {"total": 2, "active": 1, "paused": 1, "deployed": 1, "scheduled": 1}
    assert found["runs"]["by_status"] == {"PENDING": 1, "RUNNING": 0, "COMPLETED": 3, "FAILED": 1, "CANCELLED": 0}
    assert (found["runs"]["total"], found["runs"]["success_rate"]) == (5, 0.75)
    assert found["runs_last_24_hours"] == found["runs"]
    assert found["artifacts"] == {"total": 2, "bytes": 20, "by_type": {"DATASET": 2}}


def test_a_database_that_is_down_is_503_at_once(dagster: DagsterInstance, tmp_path: Path) -> None:
    nowhere = Database.connect(f"postgresql+psycopg2://someone:secret-word@127.0.0.1:{free_port()}/x")
    with runs_api(nowhere, dagster, tmp_path) as broken, broken.client() as client:
        for path in ("/runs", f"/runs/{uuid4()}", "/statistics", f"/runs/{uuid4()}/events"):
            answer = client.get(path)
            assert "secret-word" not in str(problem(answer, 503))
            assert "retry-after" in answer.headers
        problem(client.post("/pipelines/made/runs"), 503)
    nowhere.dispose()


def test_dagsters_storage_that_is_down_is_503(
    api: RunsApi, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster_postgres.utils import DagsterPostgresException

    def unreachable(*_: Any, **__: Any) -> None:
        raise DagsterPostgresException("too many retries for DB connection")

    for name in ("get_run_records", "get_run_record_by_id", "get_runs_count"):
        monkeypatch.setattr(api.instance, name, unreachable)
    for path in ("/runs", f"/runs/{uuid4()}", "/statistics", f"/runs/{uuid4()}/events"):
        assert "retry-after" in client.get(path).headers
        problem(client.get(path), 503)
