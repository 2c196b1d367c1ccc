"""The life of a pipeline through a served API on a real PostgreSQL: versions, races, keys, the audit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus

from mlops_assets.access import audit, tokens
from mlops_assets.access.audit import Filters
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.pipelines.naming import PIPELINE_TAG
from mlops_assets.storage.database import Database
from tests.integration.answers import answered, fields, problem
from tests.integration.pipelines.pipelines_app import YAML, client_of, made

BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)


def acts(database: Database) -> list[tuple[str, str, int, int | None]]:
    entries = audit.page(database, Filters(), 100)
    return [(one.action, one.object, one.details["version"], one.details["deployed_version"]) for one in entries]


def test_what_is_posted_is_read_again(database: Database, client: httpx.Client) -> None:
    sent = made(title="Title", schedule="0 1 * * *", timezone="Asia/Tokyo", tags={"team": "red"})
    sent["stages"].reverse()
    answer = client.post("/pipelines", json=sent)
    body = answered(answer, 201)
    assert answer.headers["location"] == f"/api/v1/pipelines/{body['id']}"
    assert answer.headers["etag"] == '"1"'
    assert [stage["name"] for stage in body["stages"]] == ["load", "train"]
    assert (body["deployed_version"], body["loaded"], body["created_by"]) == (1, False, "operator")
    assert body["next_run_at"].endswith("T16:00:00Z")
    for asked in ("made", body["id"]):
        again = client.get(f"/pipelines/{asked}")
        assert (again.json(), again.headers["etag"]) == (body, '"1"')
    page = answered(client.get("/pipelines"))
    assert (page["total"], page["limit"], page["offset"]) == (1, 50, 0)
    assert page["items"] == [{name: body[name] for name in page["items"][0]}]
    assert acts(database) == [("pipeline.create", "made", 1, 1)]


def test_json_yaml_and_an_uploaded_file_say_the_same(client: httpx.Client) -> None:
    text = yaml.safe_dump(made())
    sent: list[dict[str, Any]] = [
        {"url": "/pipelines", "json": made()},
        {"url": "/pipelines", "content": text, "headers": YAML},
        {"url": "/pipelines/import", "content": text, "headers": {"Content-Type": "text/yaml; charset=utf-8"}},
        {"url": "/pipelines/import", "files": {"file": ("../../x.yaml", text)}},
        {"url": "/pipelines/import", "files": {"file": (None, text)}},
    ]
    digests = set()
    for one in sent:
        body = answered(client.post(**one), 201)
        digests.add(answered(client.get("/pipelines/made/versions"))["items"][0]["digest"])
        assert client.delete(f"/pipelines/{body['id']}").status_code == 204
    assert len(digests) == 1


def test_what_is_exported_is_imported_as_it_was(client: httpx.Client) -> None:
    client.post("/pipelines", json=made(title="Ünïcode 😀", parameters={"n": {"type": "number", "default": 1e22}}))
    exported = client.get("/pipelines/made/yaml")
    assert exported.headers["content-type"] == "application/yaml"
    assert exported.headers["content-disposition"] == 'attachment; filename="made.yaml"'
    same = client.put("/pipelines/made", content=exported.content, headers=YAML | {"If-Match": '"1"'})
    assert (answered(same)["version"], same.headers["etag"]) == (1, '"1"')
    renamed = client.get("/pipelines/made/yaml").text.replace("name: made", "name: other", 1)
    assert answered(client.post("/pipelines/import", content=renamed, headers=YAML), 201)["name"] == "other"


def test_a_change_makes_a_version_and_an_older_one_is_deployed_again(database: Database, client: httpx.Client) -> None:
    client.post("/pipelines", json=made())
    answer = client.put("/pipelines/made?deploy=false", json=made(title="second"), headers={"If-Match": '"1"'})
    body = answered(answer)
    assert (body["version"], body["deployed_version"], body["spec_version"]) == (2, 1, 2)
    assert answered(client.post("/pipelines/made/deploy"))["deployed_version"] == 2
    assert answered(client.post("/pipelines/made/deploy", json={"version": 1}))["deployed_version"] == 1
    old = answered(client.get("/pipelines/made?version=1"))
    assert (old["spec"]["title"], old["spec_version"], old["title"]) == (None, 1, "second")
    assert "title" not in client.get("/pipelines/made/yaml?version=1").text
    items = answered(client.get("/pipelines/made/versions"))["items"]
    assert [(one["version"], one["deployed"]) for one in items] == [(2, False), (1, True)]
    for answer in (
        client.get("/pipelines/made?version=3"),
        client.get("/pipelines/made/yaml?version=3"),
        client.post("/pipelines/made/deploy", json={"version": 3}),
    ):
        assert "no version 3" in problem(answer, 404)["detail"]
    assert acts(database) == [
        ("pipeline.deploy", "made", 2, 1),
        ("pipeline.deploy", "made", 2, 2),
        ("pipeline.update", "made", 2, 1),
        ("pipeline.create", "made", 1, 1),
    ]


def test_a_change_needs_what_it_was_made_from(client: httpx.Client) -> None:
    client.post("/pipelines", json=made())
    problem(client.put("/pipelines/made", json=made(title="a")), 428)
    assert answered(client.put("/pipelines/made", json=made(title="a"), headers={"If-Match": "*"}))["revision"] == 2
    for stale in ('"1"', 'W/"2"', "2"):
        answer = client.put("/pipelines/made", json=made(title="b"), headers={"If-Match": stale})
        problem(answer, 412)
        assert answer.headers["etag"] == '"2"'
    problem(client.delete("/pipelines/made", headers={"If-Match": '"1"'}), 412)
    problem(client.delete("/pipelines/made", headers={"If-Match": ""}), 428)
    assert client.delete("/pipelines/made", headers={"If-Match": '"2"'}).status_code == 204
    problem(client.put("/pipelines/made", json=made(), headers={"If-Match": "*"}), 404)


def test_of_many_changes_from_one_reading_one_is_taken(client: httpx.Client) -> None:
    client.post("/pipelines", json=made())

    def put(number: int) -> int:
        return client.put("/pipelines/made", json=made(title=f"{number}"), headers={"If-Match": '"1"'}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(put, range(8))) == [200] + [412] * 7
    assert len(answered(client.get("/pipelines/made/versions"))["items"]) == 2


def test_a_pipeline_is_renamed_unless_the_name_is_taken(client: httpx.Client) -> None:
    for name in ("made", "taken"):
        client.post("/pipelines", json=made(name))
    refused = client.put("/pipelines/made", json=made("taken"), headers={"If-Match": "*"})
    assert "'taken'" in problem(refused, 409)["detail"]
    problem(client.put("/pipelines/made?deploy=false", json=made("new"), headers={"If-Match": "*"}), 409)
    assert answered(client.put("/pipelines/made", json=made("new"), headers={"If-Match": "*"}))["name"] == "new"
    problem(client.get("/pipelines/made"), 404)
    problem(client.post("/pipelines/new/deploy", json={"version": 1}), 409)


def test_a_pipeline_is_paused_and_resumed(database: Database, client: httpx.Client) -> None:
    client.post("/pipelines", json=made(schedule="* * * * *"))
    for verb, active in (("pause", False), ("resume", True)):
        for _ in range(2):
            body = answered(client.post(f"/pipelines/made/{verb}"))
            assert (body["active"], body["next_run_at"] is not None) == (active, active)
    assert body["revision"] == 3
    assert [act[0] for act in acts(database)] == ["pipeline.resume", "pipeline.pause", "pipeline.create"]


def test_a_pipeline_with_active_runs_stays(client: httpx.Client, instance: DagsterInstance) -> None:
    pipeline_id = answered(client.post("/pipelines", json=made()), 201)["id"]
    run = DagsterRun("job", str(uuid4()), tags={PIPELINE_TAG: pipeline_id}, status=DagsterRunStatus.STARTED)
    other = DagsterRun("job", str(uuid4()), tags={PIPELINE_TAG: str(uuid4())}, status=DagsterRunStatus.STARTED)
    for one in (run, other):
        instance.add_run(one)
    assert "1 of its runs" in problem(client.delete("/pipelines/made"), 409)["detail"]
    instance.report_run_failed(run)
    assert client.delete("/pipelines/made").status_code == 204
    problem(client.delete("/pipelines/made"), 404)
    problem(client.get(f"/pipelines/{pipeline_id}"), 404)
    assert answered(client.post("/pipelines", json=made()), 201)["id"] != pipeline_id


def test_an_order_sent_again_is_done_once(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k1"}
    first = client.post("/pipelines", json=made(), headers=key)
    text = yaml.safe_dump(made())
    again = client.post("/pipelines", content=text, headers=key | YAML)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.headers["location"] == again.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "k1" in problem(client.post("/pipelines?deploy=false", json=made(), headers=key), 422)["detail"]
    assert "k1" in problem(client.post("/pipelines", json=made("other"), headers=key), 422)["detail"]
    # Another route, another order.
    problem(client.post("/pipelines/import", content=text, headers=key | YAML), 409)
    assert answered(client.get("/pipelines"))["total"] == 1
    client.delete("/pipelines/made")
    answered(client.post("/pipelines/import", content=text, headers=key | YAML), 201)


def test_of_many_creations_of_a_name_at_once_one_is_taken(database: Database, client: httpx.Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(lambda _: client.post("/pipelines", json=made()).status_code, range(16)))
    assert statuses == [201] + [409] * 15
    assert [act[0] for act in acts(database)] == ["pipeline.create"]


def test_two_hundred_creations_at_once_are_all_there(client: httpx.Client) -> None:
    limits = httpx.Limits(max_connections=32)
    with (
        httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60, limits=limits) as many,
        ThreadPoolExecutor(32) as pool,
    ):
        names = [f"p{number:03}" for number in range(200)]
        assert {answer.status_code for answer in pool.map(lambda n: many.post("/pipelines", json=made(n)), names)} == {
            201
        }
    page = answered(client.get("/pipelines", params={"limit": 500}))
    assert [item["name"] for item in page["items"]] == names


def test_lists_are_asked_for_by_name_state_and_tag(client: httpx.Client) -> None:
    client.post("/pipelines", json=made("a", title="First", tags={"team": "red", "x": "="}))
    client.post("/pipelines?deploy=false", json=made("b", active=False, tags={"team": "blue"}))

    def names(**asked: Any) -> list[str]:
        return [item["name"] for item in answered(client.get("/pipelines", params=asked))["items"]]

    assert names(q="FIRST") == names(active="true") == names(deployed="true") == names(tag="x==") == ["a"]
    assert names(tag=["team", "team=red"]) == ["a"]
    assert names(sort="-name", limit=1) == names(active="false") == ["b"]
    assert names(offset=2) == []


def test_viewers_read_and_judge_and_editors_change(database: Database, client: httpx.Client) -> None:
    client.post("/pipelines", json=made())
    url = str(client.base_url)
    with client_of(url, tokens.create(database, BY, "reader", Role.VIEWER)) as viewer:
        for path in ("", "/made", "/made/versions", "/made/yaml"):
            assert viewer.get(f"/pipelines{path}").status_code == 200
        assert answered(viewer.post("/pipelines/validate", json=made()))["valid"]
        for method, path in (
            *(("POST", path) for path in ("", "/import", "/made/deploy", "/made/pause", "/made/resume")),
            *(("PUT", "/made"), ("DELETE", "/made")),
        ):
            assert (
                "role editor" in problem(viewer.request(method, f"/pipelines{path}", json=made("new")), 403)["detail"]
            )
    with client_of(url, tokens.create(database, BY, "author", Role.EDITOR)) as editor:
        assert answered(editor.post("/pipelines", json=made("new")), 201)["created_by"] == "author"
    with client_of(url, "no such token at all") as nobody:
        # Whoever may not ask is told so before a body is read.
        for headers in ({}, {"Content-Type": "multipart/form-data"}):
            problem(nobody.post("/pipelines/import", content=b"{", headers=headers), 401)


def test_templates_are_filled_in_and_posted(client: httpx.Client) -> None:
    listed = answered(client.get("/templates"))["items"]
    assert len(listed) >= 3
    for template in listed:
        assert answered(client.get(f"/templates/{template['name']}")) == template
        given = {one["name"]: "x" for one in template["parameters"] if one["required"]}
        answer = client.post(f"/templates/{template['name']}/render", json={"name": "made", "parameters": given})
        rendered = answered(answer)
        assert {stage["name"] for stage in template["stages"]} == {s["name"] for s in rendered["spec"]["stages"]}
        answered(client.post("/pipelines", json=rendered["spec"]), 201)
        put = client.put("/pipelines/made", content=rendered["yaml"], headers=YAML | {"If-Match": "*"})
        assert answered(put)["version"] == 1
        client.delete("/pipelines/made")
    name = listed[0]["name"]
    problem(client.get("/templates/no_such"), 404)
    problem(client.post("/templates/no_such/render", json={"name": "made"}), 404)
    assert "name" in fields(client.post(f"/templates/{name}/render", json={"name": "house_prices"}))
    odd = client.post(f"/templates/{name}/render", json={"name": "made", "parameters": {"no_such": 1}})
    assert fields(odd) == ["parameters.no_such"]


def test_what_a_pipeline_may_say_is_described(client: httpx.Client) -> None:
    url = str(client.base_url).partition("/api/")[0]
    document = client.get(f"{url}/openapi.json")
    paths = answered(document)["paths"]
    for method, path in (("post", ""), ("put", "/{id}"), ("post", "/validate")):
        body = paths[f"/api/v1/pipelines{path}"][method]["requestBody"]["content"]
        stages = body["application/json"]["schema"]["properties"]["stages"]["items"]["properties"]
        assert "DATA_INGESTION" in stages["stage_type"]["enum"]
        assert "application/yaml" in body
    # What points into the schema of one route points nowhere in the document.
    assert "#/$defs" not in document.text
