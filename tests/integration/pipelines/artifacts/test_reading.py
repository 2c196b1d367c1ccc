"""Artifacts over the served API: lists, one of them, downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pandas as pd

from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.storage.database import Database
from tests.integration.answers import answered, problem
from tests.integration.pipelines.artifacts.kept import Kept, shown
from tests.integration.pipelines.artifacts.stage_outcomes import made_pipeline


def names(client: httpx.Client, **query: Any) -> list[str]:
    return [item["name"] for item in answered(client.get("/artifacts", params=query))["items"]]


def test_artifacts_are_filtered_sorted_and_paged(client: httpx.Client, kept: Kept, database: Database) -> None:
    other = made_pipeline(database, "other")
    run = str(uuid4())
    kept.result(pd.DataFrame({"x": [1]}), "a", run_id=run)
    kept.result({"r2": 0.5}, "b", run_id=run, stage_type=StageType.MODEL_EVALUATION)
    kept.result([1], "c", pipeline=other)
    kept.beside("100% d_e", "x" * 50_000, "REPORT")
    assert names(client) == ["100% d_e", "c", "b", "a"]
    assert names(client, sort="created_at") == ["a", "b", "c", "100% d_e"]
    assert names(client, sort="-size")[0] == "100% d_e"
    assert names(client, sort="size")[0] == "c"
    assert names(client, sort="name", limit=2, offset=1) == ["a", "b"]
    assert names(client, pipeline="other") == names(client, pipeline=str(other)) == ["c"]
    assert names(client, pipeline="unknown") == names(client, pipeline=str(uuid4())) == []
    assert names(client, run=run) == ["b", "a"]
    assert names(client, run=run, stage="a") == ["a"]
    assert names(client, type="METRICS") == ["b"]
    assert names(client, result="false") == ["100% d_e"]
    assert names(client, storage="LOCAL", result="true", type="OTHER") == ["c"]
    assert names(client, storage="S3") == []
    assert names(client, q="% D_") == ["100% d_e"]
    assert names(client, q="1%e") == []
    page = answered(client.get("/artifacts", params={"limit": 1, "offset": 9}))
    assert (page["items"], page["total"], page["limit"], page["offset"]) == ([], 4, 1, 9)


def test_a_filter_that_makes_no_sense_is_named(client: httpx.Client) -> None:
    wrong: list[dict[str, Any]] = [
        {"limit": 0}, {"limit": 501}, {"offset": -1}, {"offset": 10**20}, {"sort": "sha256"}, {"type": "THING"},
        {"storage": "FLOPPY"}, {"result": "maybe"}, {"q": "a\0b"}, {"stage": "\0"}, {"run": "x" * 301},
        {"pipeline": "\0"},
    ]  # fmt: skip
    for query in wrong:
        found = problem(client.get("/artifacts", params=query), 422)["errors"]
        assert [error["field"] for error in found] == list(query)


def test_an_artifact_tells_all_that_is_known(client: httpx.Client, kept: Kept) -> None:
    made = kept.result(pd.DataFrame({"x": [1, 2]}))
    found = answered(client.get(f"/artifacts/{made.id}"))
    assert found["pipeline"] == "made"
    assert found["metadata"] == {"format": "parquet", "rows": 2, "columns": 1, "schema": {"x": "int64"}}
    assert (found["is_result"], found["type"], found["size"]) == (True, "DATASET", made.size)
    assert found["location"] == made.uri
    assert answered(client.get(f"/artifacts/{str(made.id).upper()}"))["id"] == str(made.id)


def test_an_artifact_that_is_not_there_is_not_found(client: httpx.Client) -> None:
    for asked in (str(uuid4()), "1", "x" * 200, "%00", f"{{{uuid4()}}}", "ü"):
        for rest in ("", "/content", "/preview", "/image"):
            assert client.get(f"/artifacts/{asked}{rest}").status_code == 404, (asked, rest)


def test_nothing_is_told_without_a_token(client: httpx.Client, kept: Kept) -> None:
    made = kept.result([1])
    for rest in ("", *(f"/{made.id}{part}" for part in ("", "/content", "/preview", "/image"))):
        assert httpx.get(f"{client.base_url}artifacts{rest}").status_code == 401, rest


def test_content_is_a_download_whatever_it_is(client: httpx.Client, kept: Kept) -> None:
    page = kept.beside("Grüße <b>.html", "<script>alert(1)</script>")
    answer = client.get(f"/artifacts/{page.id}/content")
    assert answer.status_code == 200
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Grue _b_.html\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20_b_.html"
    )
    model = kept.result({1, 2}, "train", stage_type=StageType.MODEL_TRAINING)
    answer = client.get(f"/artifacts/{model.id}/content")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert 'filename="train.pickle"' in answer.headers["content-disposition"]


def test_a_large_file_comes_whole(client: httpx.Client, kept: Kept) -> None:
    data = np.random.default_rng(2).bytes(30_000_000)
    made = kept.result(data)
    with client.stream("GET", f"/artifacts/{made.id}/content") as answer:
        assert answer.headers["content-length"] == str(len(data))
        assert b"".join(answer.iter_raw()) == data


def test_a_file_that_is_gone_or_another_is_told_of(client: httpx.Client, kept: Kept) -> None:
    nothing = kept.result(None)
    gone, changed = kept.result([1]), kept.result([2])
    Path(str(gone.uri)).unlink()
    Path(str(changed.uri)).write_bytes(b"something else")
    for artifact, words in ((nothing, "None"), (gone, "isn't in the storage"), (changed, "isn't what the stage left")):
        assert words in problem(client.get(f"/artifacts/{artifact.id}/content"), 404)["detail"]
        assert words in shown(client, artifact)["reason"]
