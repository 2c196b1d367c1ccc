"""What the pipeline routes refuse, in which words, and that nothing of it is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from mlops_assets.api.edge import BODY_LIMIT
from mlops_assets.pipelines.structure import MAX_BYTES
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from tests.integration.answers import answered, fields, problem
from tests.integration.pipelines.pipelines_app import JSON, YAML, made, pipelines_api
from tests.unit.pipelines.made_pipelines import pipeline, stage


@pytest.fixture
def client(client: httpx.Client) -> Iterator[httpx.Client]:
    """A client of the served API, where nothing is stored when the test ends."""
    yield client
    assert answered(client.get("/pipelines"))["total"] == 0


REFUSED: list[tuple[Any, list[str]]] = [
    (made(stages=[]), ["stages"]),
    (pipeline(stage("a", ["b"]), stage("b", ["a"])), ["stages.a.dependencies"]),
    (pipeline(stage("a", ["lod"])), ["stages.a.dependencies"]),
    (pipeline(stage("a", order=1), stage("b", order=1)), ["stages.b.order"]),
    (pipeline(stage("a", source="def run(:")), ["stages.a.source"]),
    (pipeline(stage("a", retry_count=11), stage("b", limits={"memory_mb": 1})),
     ["stages.a.retry_count", "stages.b.limits.memory_mb"]),
    (pipeline(stage("a", stage_type="CUSTOM")), ["stages.a.custom_name"]),
    (pipeline({"stage_type": "CLEANUP"}), ["stages.stages[0].name", "stages.stages[0].source"]),
    (made(schedule="every day"), ["schedule"]),
    (made(schedule="0 1 * * *", parameters={"n": {"type": "integer", "required": True}}), ["parameters.n.required"]),
    (made(colour="red"), ["colour"]),
    (pipeline(stage("a", network=True), stage("b"), stage("c", network=True)),
     ["stages.a.network", "stages.c.network"]),
    (made("house_prices"), ["name"]),
    (made("platform", schedule="no"), ["schedule", "name"]),
    ([], [""]),
    ("made", [""]),
]  # fmt: skip
NAMES = [
    "",
    "Made",
    "it's",
    'a"b',
    "a/b",
    "../a",
    "añb",
    "naïve",
    "数据",
    "a b",
    "a\0b",
    "1a",
    "a-b",
    "x" * 10_000,
    7,
    None,
]


def test_what_is_wrong_is_told_by_stage_and_field(client: httpx.Client) -> None:
    for sent, expected in REFUSED:
        answer = client.post("/pipelines", json=sent)
        assert fields(answer) == expected, sent
        assert all(error["message"] for error in answer.json()["errors"])
        judged = answered(client.post("/pipelines/validate", json=sent))
        assert (judged["valid"], len(judged["problems"]), judged["order"]) == (False, len(expected), []), sent
    good = answered(client.post("/pipelines/validate", json=made()))
    assert good == {"valid": True, "problems": [], "order": ["load", "train"]}


def test_names_of_any_kind_are_refused_in_short_words_and_found_nowhere(client: httpx.Client) -> None:
    for name in NAMES:
        answer = client.post("/pipelines", json=made() | {"name": name})
        assert set(fields(answer)) == {"name"}, name
        assert len(answer.text) < 2000
        stages = [stage("load") | {"name": name}]
        assert all(field.startswith("stages.") for field in fields(client.post("/pipelines", json=made(stages=stages))))
    for name in (
        "it's",
        "a%2Fb",
        "a%00b",
        "%F0%9F%98%80",
        "%FF",
        "x" * 10_000,
        "a'--",
        "00000000-0000-0000-0000-000000000000",
    ):
        for method, path, body in (
            *(("GET", path, None) for path in ("", "/versions", "/yaml")),
            *(("POST", path, None) for path in ("/deploy", "/pause", "/resume")),
            ("PUT", "", made()),
        ):
            answer = client.request(method, f"/pipelines/{name}{path}", json=body, headers={"If-Match": "*"})
            problem(answer, 404)


def test_all_reasons_of_a_large_pipeline_fit_into_an_answer(client: httpx.Client) -> None:
    answer = client.post(
        "/pipelines", json=pipeline(*(stage(f"s{n}", retry_count=11, timeout_seconds=0) for n in range(150)))
    )
    assert len(fields(answer)) == 100
    assert answer.json()["detail"].endswith("and 280 more")


BODIES: list[tuple[bytes, dict[str, str], str]] = [
    (b"", JSON, "line 1, column 1"),
    (b'{"name": "made",\n "stages": [}', JSON, "line 2, column 13"),
    (b'{"name": "a", "name": "b"}', JSON, "'name' is given twice"),
    (b'{"timeout_seconds": NaN}', JSON, "NaN"),
    (b'{"timeout_seconds": -Infinity}', JSON, "-Infinity"),
    (b'{"config": {"x": 1e999}}', JSON, "not finite"),
    (b'{"config": {"x": %s}}' % (b"9" * 100_000), JSON, "64 bits"),
    (b"[" * 100_000, JSON, "nested deeper"),
    (b'{"a":' * 60 + b"1" + b"}" * 60, JSON, "nested deeper"),
    (b"[" + b"[]," * 200_000 + b"[]]", JSON, "more than 100000 values"),
    (b'["' + b'\\",[' * 200_000, JSON, "Unterminated string"),
    (b'{"name": "\xff"}', JSON, "not UTF-8"),
    (b'{"name": "\\ud800"}', JSON, "surrogate"),
    (b"name: made\nstages:\n\t- x", YAML, "line 3, column 1"),
    (b"name: a\nname: b", YAML, "line 2, column 1"),
    (b"name: !!python/object:os.system x", YAML, "line 1"),
    (b"a: &a [x]\nb: [" + b"*a," * 200 + b"]", YAML, "aliases"),
    (b"name: \xff", YAML, "not UTF-8"),
    (b"", YAML, "a pipeline is a mapping"),
    (b"a: 1\n---\nb: 2", YAML, "second document"),
    (b"#" * (MAX_BYTES + 1), YAML, "larger than"),
]  # fmt: skip


def test_texts_that_can_not_be_read_are_refused_with_their_place(client: httpx.Client) -> None:
    for content, headers, words in BODIES:
        answer = client.post("/pipelines", content=content, headers=headers)
        assert words in problem(answer, 422)["detail"], content[:50]
        judged = answered(client.post("/pipelines/validate", content=content, headers=headers))
        assert words in judged["problems"][0]["message"], content[:50]
    # What looks like many values inside a text is one.
    source = f"# {'[],{}' * 50_000}\ndef run(): return 1"
    assert answered(client.post("/pipelines/validate", json=pipeline(stage("a", source=source))))["valid"]


def test_only_json_yaml_and_forms_with_one_file_are_read(client: httpx.Client) -> None:
    for kind in ("text/plain", "application/jsonx", "", "application/x-www-form-urlencoded"):
        for path in ("", "/validate", "/import"):
            problem(client.post(f"/pipelines{path}", content=b"{}", headers={"Content-Type": kind}), 415)
    problem(client.post("/pipelines", files={"file": b"name: a"}), 415)
    problem(client.post("/pipelines/import", json={}), 415)
    assert fields(client.post("/pipelines/import", files={"other": b"name: a"})) == ["file"]
    assert fields(client.post("/pipelines/import", files={"file": b"name: a"})) == ["stages"]
    problem(client.post("/pipelines/import", files=[("file", b"a: 1"), ("file", b"b: 2")]), 400)
    problem(client.post("/pipelines/import", files={"file": b"a: 1"}, data={"a": "1", "b": "2"}), 400)
    assert fields(client.post("/pipelines/import", files={"file": b"a: 1"}, data={"a": "1"})) == ["file"]
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (b"--x\r\nno header", b"", b"--x\r\n\r\n"):
        assert client.post("/pipelines/import", content=content, headers=broken).status_code in (400, 422)
    problem(client.post("/pipelines/import", content=b"", headers={"Content-Type": "multipart/form-data"}), 400)


def test_pipelines_may_be_larger_than_other_bodies_and_are_limited_too(client: httpx.Client) -> None:
    larger, largest = b" " * (BODY_LIMIT + 1), b" " * (2 * MAX_BYTES)
    for method, path in (("POST", ""), ("POST", "/import"), ("POST", "/validate"), ("PUT", "/made")):
        assert client.request(method, f"/pipelines{path}", content=larger, headers=YAML).status_code in (200, 422)
        problem(client.request(method, f"/pipelines{path}", content=largest, headers=YAML), 413)
        streamed = client.request(method, f"/pipelines{path}", content=iter([largest]), headers=YAML)
        assert streamed.status_code == 413
    problem(client.post("/pipelines/import", files={"file": largest}), 413)
    for path in ("/pipelines/made/deploy", "/templates/daily_report", "/rollouts/house_prices/pause"):
        problem(client.post(path, content=larger, headers=JSON), 413)
    problem(client.post("/templates/daily_report/render", content=larger, headers=JSON), 422)
    problem(client.post("/templates/daily_report/render", content=largest, headers=JSON), 413)


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0}, {"limit": 501}, {"limit": "x"}, {"offset": -1}, {"offset": 10**30}, {"sort": "stages"},
        {"q": "a\0b"}, {"q": "x" * 201}, {"active": "maybe"}, {"tag": ""}, {"tag": "x" * 401}, {"tag": ["a"] * 21},
    ],
)  # fmt: skip
def test_lists_are_not_asked_for_in_other_ways(unserved: httpx.Client, asked: dict[str, Any]) -> None:
    assert fields(unserved.get("/pipelines", params=asked))[0].split(".")[0] == next(iter(asked))


@pytest.fixture(scope="module")
def unserved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API whose database is down."""
    home = tmp_path_factory.mktemp("home")
    with pipelines_api(Database.connect(Settings(home=home).database), home) as found:
        yield found


def test_without_a_database_pipelines_are_judged_and_all_else_is_tried_again_later(unserved: httpx.Client) -> None:
    assert answered(unserved.post("/pipelines/validate", json=made()))["valid"]
    for answer in (
        unserved.get("/pipelines"),
        unserved.get("/pipelines/made"),
        unserved.post("/pipelines", json=made(), headers={"Idempotency-Key": "k"}),
        unserved.put("/pipelines/made", json=made(), headers={"If-Match": "*"}),
        unserved.post("/pipelines/made/deploy"),
    ):
        problem(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1


def test_the_network_is_given_where_the_installation_allows_it(database: Database, tmp_path: Path) -> None:
    wanting = pipeline(stage("a", network=True))
    with pipelines_api(database, tmp_path, stage_network=True) as client:
        answered(client.post("/pipelines?deploy=false", json=wanting), 201)
    with pipelines_api(database, tmp_path) as client:
        assert fields(client.post("/pipelines/made/deploy")) == ["stages.a.network"]
        assert answered(client.get("/pipelines/made"))["deployed_version"] is None
        assert fields(client.put("/pipelines/made", json=wanting, headers={"If-Match": "*"})) == ["stages.a.network"]


def test_what_was_stored_is_only_what_was_taken(database: Database, tmp_path: Path) -> None:
    sent = made(description="'; DROP TABLE mlops.pipeline; --", config={"": {"\u2028": ["\U0001f600", 2**63 - 1]}})
    with pipelines_api(database, tmp_path) as client:
        answered(client.post("/pipelines", content=json.dumps(sent), headers=JSON), 201)
        spec = answered(client.get("/pipelines/made"))["spec"]
        assert (spec["description"], spec["config"]) == (sent["description"], sent["config"])
    with database.session() as session:
        assert session.scalar(text("SELECT count(*) FROM mlops.pipeline_version")) == 1
