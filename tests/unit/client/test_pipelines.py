"""Pipelines over the client: pages, forms of a spec, changes from the revision that was read, and apply."""

from __future__ import annotations

import json
from collections import UserDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.client import ClientError, ConflictError, NotFoundError, PreconditionError, ValidationError
from mlops_assets.client.documents import MAX_BYTES, document
from tests.unit.client.fake_api import FakeApi, ok, pipeline, problem

YAML = "# mine\nname: two_stage\nstages: []\n"


def page(names: list[str], total: int) -> httpx.Response:
    return ok({"items": [pipeline(name) for name in names], "total": total, "limit": 200, "offset": 0})


def test_every_pipeline_of_every_page_is_told_once() -> None:
    # Between the pages, somebody created one that moved b to the second.
    api = FakeApi().on("GET pipelines", page(["a", "b"], 3), page(["b", "c"], 4), page(["d"], 4))
    assert [one.name for one in api.client.pipelines(q="x", active=True, tags=["team=a", "b"])] == ["a", "b", "c", "d"]
    asked = [dict(request.url.params.multi_items()) for request in api.requests]
    assert [one["offset"] for one in asked] == ["0", "2", "3"]
    assert asked[0]["q"] == "x"
    assert asked[0]["active"] == "true"
    assert api.requests[0].url.params.get_list("tag") == ["team=a", "b"]
    assert "deployed" not in asked[0]


def test_a_listing_ends_when_others_are_deleted_meanwhile() -> None:
    api = FakeApi().on("GET pipelines", page(["a", "b"], 4), page([], 2))
    assert [one.name for one in api.client.pipelines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (YAML, "two_stage"),
        ("stages: [{name: inner}]\nname: outer\n", "outer"),
        ("{stages: [{name: inner}], 'name': \"outer\"}", "outer"),
        ("- name: listed\n", None),
        ("name\n", None),
        ("stages: [{name: inner}]\n", None),
        ("name: [a]\n", None),
        ("name:\n", None),
        ("x: &a {name: inner}\ny: *a\n? {name: key}\n: 1\nname: outer\n", "outer"),
        ("name: 'unclosed\n", None),
        ("\x00", None),
        ("", None),
        ("[" * 50_000, None),
        ('{"name": "outer"}', "outer"),
    ],
)
def test_the_name_is_found_in_yaml(text: str, name: str | None) -> None:
    assert document(text).name == name
    assert document(text).content == text.encode()


def test_files_are_sent_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(YAML)
    (tmp_path / "p.json").write_text('{"name": "two_stage"}')
    (tmp_path / "broken.json").write_text('{"name": ')
    read = [document(tmp_path / name) for name in ("p.yaml", "p.json", "broken.json")]
    assert [(one.media_type, one.name) for one in read] == [
        ("application/yaml", "two_stage"),
        ("application/json", "two_stage"),
        ("application/json", None),
    ]
    assert read[0].content == YAML.encode()


def test_what_can_not_be_a_pipeline_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    spec: list[Any] = [
        tmp_path / "none.yaml",
        tmp_path,
        tmp_path / "large.yaml",
        "pipeline.yaml",
        "\ud800",
        {"name": "a", "parameters": {"since": datetime.now(UTC)}},
        {"name": "a", "config": {"x": float("nan")}},
    ]
    api = FakeApi()
    for one in spec:
        with pytest.raises(ClientError):
            api.client.create(one)
    assert not api.requests


def test_any_mapping_is_sent_as_json_and_text_as_yaml() -> None:
    api = FakeApi().on("POST pipelines", ok(pipeline(), 201))
    api.client.create(UserDict(name="two_stage", title="Zwölf"), deploy=False)
    api.client.create(YAML)
    first, second = api.requests
    assert json.loads(first.content) == {"name": "two_stage", "title": "Zwölf"}
    assert (first.headers["content-type"], first.url.params["deploy"]) == ("application/json", "false")
    assert (second.headers["content-type"], second.url.params["deploy"]) == ("application/yaml", "true")
    assert second.content == YAML.encode()


def test_an_update_is_made_from_the_present_revision_or_the_given_one() -> None:
    api = FakeApi().on("GET pipelines/a", ok(pipeline("a", revision=7))).on("PUT pipelines/a", ok(pipeline("a")))
    api.client.update("a", YAML)
    assert api.sent("PUT pipelines/a")[0].headers["if-match"] == '"7"'
    api.client.update("a", YAML, revision=5)
    assert api.sent("PUT pipelines/a")[1].headers["if-match"] == '"5"'
    assert len(api.sent("GET pipelines/a")) == 1


def test_apply_creates_what_is_not_there() -> None:
    api = FakeApi().on("GET pipelines/two_stage", problem(404)).on("POST pipelines", ok(pipeline(), 201))
    done = api.client.apply(YAML)
    assert (done.change, done.before, done.pipeline.version) == ("created", None, 1)


@pytest.mark.parametrize(
    ("after", "change"),
    [
        (pipeline(revision=3, version=2, deployed_version=2), "updated"),
        (pipeline(revision=3, version=1, deployed_version=1), "unchanged"),
    ],
)
def test_apply_adds_a_version_only_where_something_differs(after: dict[str, Any], change: str) -> None:
    api = FakeApi().on("GET pipelines/two_stage", ok(pipeline(revision=2))).on("PUT pipelines/id-two_stage", ok(after))
    done = api.client.apply({"name": "two_stage", "stages": []})
    assert (done.change, done.before) == (change, 1)
    assert api.sent("PUT pipelines/id-two_stage")[0].headers["if-match"] == '"2"'


def test_apply_deploys_a_version_that_was_only_stored() -> None:
    stored = pipeline(version=2, deployed_version=1)
    api = FakeApi().on("GET pipelines/two_stage", ok(stored))
    api.on("PUT pipelines/id-two_stage", ok({**stored, "deployed_version": 2}))
    assert api.client.apply(YAML).change == "updated"


def test_apply_goes_on_where_another_was_quicker() -> None:
    api = FakeApi().on("GET pipelines/two_stage", problem(404), ok(pipeline(revision=1)), ok(pipeline(revision=2)))
    api.on("POST pipelines", problem(409, "taken"))
    api.on("PUT pipelines/id-two_stage", problem(412), ok(pipeline(revision=3, version=2, deployed_version=2)))
    assert api.client.apply(YAML).change == "updated"
    assert [r.headers["if-match"] for r in api.sent("PUT pipelines/id-two_stage")] == ['"1"', '"2"']


@pytest.mark.parametrize(("refused", "kind"), [(409, ConflictError), (412, PreconditionError), (404, NotFoundError)])
def test_apply_does_not_try_for_ever(refused: int, kind: type[Exception]) -> None:
    api = FakeApi().on("GET pipelines/two_stage", ok(pipeline()))
    api.on("PUT pipelines/id-two_stage", problem(refused, "always"))
    with pytest.raises(kind, match="always"):
        api.client.apply(YAML)
    assert len(api.requests) < 10


def test_apply_leaves_it_to_the_api_to_say_what_is_wrong_with_a_text() -> None:
    api = FakeApi().on("POST pipelines", problem(422, "line 1, column 7: not readable"))
    with pytest.raises(ValidationError, match="line 1, column 7"):
        api.client.apply("name: 'unclosed\n")


def test_templates_versions_and_yaml_are_read() -> None:
    rendered = {"spec": {"name": "mine"}, "yaml": "name: mine\n"}
    api = FakeApi().on("POST templates/daily_report/render", ok(rendered))
    api.on("GET pipelines/a/yaml", httpx.Response(200, content="name: ä\n".encode()))
    assert api.client.render("daily_report", "mine", {"location": "x"}).yaml == "name: mine\n"
    assert api.bodies("POST templates/daily_report/render") == [{"name": "mine", "parameters": {"location": "x"}}]
    assert api.client.yaml("a", version=2) == "name: ä\n"
    assert api.sent("GET pipelines/a/yaml")[0].url.params["version"] == "2"
