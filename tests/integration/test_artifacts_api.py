"""Artifacts and logs over a served API: lists, downloads, previews by a real process, logs while stages run."""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.pipelines import preview_tables
from mlops_assets.pipelines.artifacts import keep
from mlops_assets.pipelines.previews import preview
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.pipeline_tables import Artifact
from tests.integration import test_sources
from tests.integration.pipelines_app import answered, pipelines_api, problem
from tests.integration.stage_outcomes import attempt, forged, made_pipeline, outcome, stored, written
from tests.integration.stored_pipelines import created, spec
from tests.unit.pipelines.fabricated_runs import recorded, run_tags

s3 = test_sources.s3
PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def api(database: Database, tmp_path: Path, instance: DagsterInstance) -> Iterator[httpx.Client]:
    with pipelines_api(database, tmp_path / "home", instance) as client:
        yield client


class Kept:
    """Keeps artifacts where the served API looks for them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.work = database, folder / "work"
        self.settings = Settings(home=folder / "home")
        self.storage = Storage(self.settings.storage)
        self.logs = StageLogs(self.settings.stage_logs)
        self.pipeline = made_pipeline(database)

    def result(self, value: Any, stage: str = "prepare", **fields: Any) -> Artifact:
        done = attempt(fields.pop("pipeline", self.pipeline), stage, **fields)
        return keep(self.database, self.storage, done, outcome(stored(self.work, value)))[-1]

    def beside(self, name: str, value: Any, type: str = "OTHER", text: bool = True, **metadata: Any) -> Artifact:
        left = written(name, stored(self.work, value, text=text), type, metadata)
        return keep(self.database, self.storage, attempt(self.pipeline), outcome(None, left))[0]

    def forged(self, form: Any, content: bytes) -> Artifact:
        done = outcome(forged(self.work, form, content))
        return keep(self.database, self.storage, attempt(self.pipeline), done)[0]


@pytest.fixture
def kept(database: Database, tmp_path: Path) -> Kept:
    return Kept(database, tmp_path)


def names(api: httpx.Client, **query: Any) -> list[str]:
    return [item["name"] for item in answered(api.get("/artifacts", params=query))["items"]]


def shown(api: httpx.Client, artifact: Artifact) -> dict[str, Any]:
    return answered(api.get(f"/artifacts/{artifact.id}/preview"))


def test_artifacts_are_filtered_sorted_and_paged(api: httpx.Client, kept: Kept, database: Database) -> None:
    other = made_pipeline(database, "other")
    run = str(uuid4())
    kept.result(pd.DataFrame({"x": [1]}), "a", run_id=run)
    kept.result({"r2": 0.5}, "b", run_id=run, stage_type=StageType.MODEL_EVALUATION)
    kept.result([1], "c", pipeline=other)
    kept.beside("100% d_e", "x" * 50_000, "REPORT")
    assert names(api) == ["100% d_e", "c", "b", "a"]
    assert names(api, sort="created_at") == ["a", "b", "c", "100% d_e"]
    assert names(api, sort="-size")[0] == "100% d_e"
    assert names(api, sort="size")[0] == "c"
    assert names(api, sort="name", limit=2, offset=1) == ["a", "b"]
    assert names(api, pipeline="other") == names(api, pipeline=str(other)) == ["c"]
    assert names(api, pipeline="unknown") == names(api, pipeline=str(uuid4())) == []
    assert names(api, run=run) == ["b", "a"]
    assert names(api, run=run, stage="a") == ["a"]
    assert names(api, type="METRICS") == ["b"]
    assert names(api, result="false") == ["100% d_e"]
    assert names(api, storage="LOCAL", result="true", type="OTHER") == ["c"]
    assert names(api, storage="S3") == []
    assert names(api, q="% D_") == ["100% d_e"]
    assert names(api, q="1%e") == []
    page = answered(api.get("/artifacts", params={"limit": 1, "offset": 9}))
    assert (page["items"], page["total"], page["limit"], page["offset"]) == ([], 4, 1, 9)


def test_a_filter_that_makes_no_sense_is_named(api: httpx.Client) -> None:
    wrong: list[dict[str, Any]] = [
        {"limit": 0}, {"limit": 501}, {"offset": -1}, {"offset": 10**20}, {"sort": "sha256"}, {"type": "THING"},
        {"storage": "FLOPPY"}, {"result": "maybe"}, {"q": "a\0b"}, {"stage": "\0"}, {"run": "x" * 301},
        {"pipeline": "\0"},
    ]  # fmt: skip
    for query in wrong:
        found = problem(api.get("/artifacts", params=query), 422)["errors"]
        assert [error["field"] for error in found] == list(query)


def test_an_artifact_tells_all_that_is_known(api: httpx.Client, kept: Kept) -> None:
    made = kept.result(pd.DataFrame({"x": [1, 2]}))
    found = answered(api.get(f"/artifacts/{made.id}"))
    assert found["pipeline"] == "made"
    assert found["metadata"] == {"format": "parquet", "rows": 2, "columns": 1, "schema": {"x": "int64"}}
    assert (found["is_result"], found["type"], found["size"]) == (True, "DATASET", made.size)
    assert found["location"] == made.uri
    assert answered(api.get(f"/artifacts/{str(made.id).upper()}"))["id"] == str(made.id)


def test_an_artifact_that_is_not_there_is_not_found(api: httpx.Client) -> None:
    for asked in (str(uuid4()), "1", "x" * 200, "%00", f"{{{uuid4()}}}", "ü"):
        for rest in ("", "/content", "/preview", "/image"):
            assert api.get(f"/artifacts/{asked}{rest}").status_code == 404, (asked, rest)


def test_nothing_is_told_without_a_token(api: httpx.Client, kept: Kept) -> None:
    made = kept.result([1])
    for rest in ("", *(f"/{made.id}{part}" for part in ("", "/content", "/preview", "/image"))):
        assert httpx.get(f"{api.base_url}artifacts{rest}").status_code == 401, rest


def test_content_is_a_download_whatever_it_is(api: httpx.Client, kept: Kept) -> None:
    page = kept.beside("Grüße <b>.html", "<script>alert(1)</script>")
    answer = api.get(f"/artifacts/{page.id}/content")
    assert answer.status_code == 200
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"Grue _b_.html\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20_b_.html"
    )
    model = kept.result({1, 2}, "train", stage_type=StageType.MODEL_TRAINING)
    answer = api.get(f"/artifacts/{model.id}/content")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert 'filename="train.pickle"' in answer.headers["content-disposition"]


def test_a_large_file_comes_whole(api: httpx.Client, kept: Kept) -> None:
    data = np.random.default_rng(2).bytes(30_000_000)
    made = kept.result(data)
    with api.stream("GET", f"/artifacts/{made.id}/content") as answer:
        assert answer.headers["content-length"] == str(len(data))
        assert b"".join(answer.iter_raw()) == data


def test_a_file_that_is_gone_or_another_is_told_of(api: httpx.Client, kept: Kept) -> None:
    nothing = kept.result(None)
    gone, changed = kept.result([1]), kept.result([2])
    Path(str(gone.uri)).unlink()
    Path(str(changed.uri)).write_bytes(b"something else")
    for artifact, words in ((nothing, "None"), (gone, "isn't in the storage"), (changed, "isn't what the stage left")):
        assert words in problem(api.get(f"/artifacts/{artifact.id}/content"), 404)["detail"]
        assert words in shown(api, artifact)["reason"]


def test_only_proven_images_are_drawn(api: httpx.Client, kept: Kept) -> None:
    plot = kept.beside("plot.png", PNG, "PLOT")
    found = shown(api, plot)
    assert (found["kind"], found["image"]) == ("image", f"/api/v1/artifacts/{plot.id}/image")
    answer = api.get(f"/artifacts/{plot.id}/image")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    for other in (kept.beside("x.png", b"<svg onload=alert(1)>"), kept.beside("y.png", "text"), kept.result([1])):
        problem(api.get(f"/artifacts/{other.id}/image"), 404)
        assert shown(api, other)["image"] is None


def test_a_table_is_shown_in_part(api: httpx.Client, kept: Kept) -> None:
    wide = pd.DataFrame({f"c{number}": range(120) for number in range(60)})
    found = shown(api, kept.result(wide))
    assert (found["kind"], found["total_rows"], found["truncated"]) == ("table", 120, True)
    assert found["columns"] == [f"c{number}" for number in range(50)]
    assert found["rows"] == [[number] * 50 for number in range(50)]


def test_cells_are_text_numbers_booleans_or_null(api: httpx.Client, kept: Kept) -> None:
    days = [datetime(2024, 1, 2, tzinfo=UTC), None, datetime(2024, 1, 4, tzinfo=UTC)]
    table = pa.table(
        {
            "number": [1.5, float("nan"), float("inf")],
            "text": ["x" * 1000, None, "ü"],
            "yes": [True, False, True],
            "day": pa.array(days, pa.timestamp("s", "UTC")),
            "large": [2**60, 1, -(2**60)],
            "fine": pa.array([1, None, 1_500_000_000], pa.timestamp("ns")),
            "inner": [{"at": days[0]}, None, {"at": None}],
        }
    )
    found = shown(api, kept.result(table))
    first, second, third = found["rows"]
    assert first[:5] == [1.5, "x" * 300 + "…", True, "2024-01-02 00:00:00Z", str(2**60)]
    assert first[5] == "1970-01-01 00:00:00.000000001"
    assert "datetime.datetime(2024, 1, 2" in first[6]
    assert second == ["nan", None, False, None, 1, None, None]
    assert third[0] == "inf"
    assert not found["truncated"]


def test_arrays_are_shown_as_tables(api: httpx.Client, kept: Kept) -> None:
    cases: list[tuple[Any, list[list[Any]]]] = [
        (np.array([[1.5, 2], [3, 4]]), [[1.5, 2.0], [3.0, 4.0]]),
        (np.asfortranarray([[1, 2, 3], [4, 5, 6]]), [[1, 2, 3], [4, 5, 6]]),
        (np.array([1, 2, 3]), [[1], [2], [3]]),
        (np.float64(0.25), [[0.25]]),
        (np.array(["a", "bc"]), [["a"], ["bc"]]),
        (np.array([], dtype=float), []),
        (np.array([(1, 2.5)], dtype=[("a", int), ("b", float)]), [[1, 2.5]]),
    ]
    for array, rows in cases:
        found = shown(api, kept.result(array))
        assert (found["kind"], found["rows"], found["total_rows"]) == ("table", rows, len(rows)), found


def test_arrow_tables_are_shown_over_their_batches(api: httpx.Client, kept: Kept) -> None:
    table = pa.concat_tables([pa.table({"a": [number], "b": [{"k": [number]}]}) for number in range(70)])
    found = shown(api, kept.result(table))
    assert (found["total_rows"], found["truncated"], len(found["rows"])) == (70, True, 50)
    assert found["rows"][3] == [3, "{'k': [3]}"]


def test_an_array_of_many_dimensions_is_not_shown(api: httpx.Client, kept: Kept) -> None:
    found = shown(api, kept.result(np.zeros((2, 3, 4))))
    assert (found["kind"], "2 × 3 × 4" in found["reason"]) == ("none", True)


def parquet(rows: int = 1000) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"text": [f"row {number}" for number in range(rows)], "n": range(rows)}), target)
    return target.getvalue()


def arrow() -> bytes:
    target = io.BytesIO()
    table = pa.table({"text": [f"row {number}" for number in range(1000)]})
    with pa.ipc.new_file(target, table.schema) as writer:
        writer.write_table(table)
    return target.getvalue()


def flipped(content: bytes, seed: int) -> bytes:
    """The content with bytes of its second half changed."""
    changed = bytearray(content)
    places = np.random.default_rng(seed)
    for place in places.integers(len(content) // 8, len(content), 60):
        changed[place] = int(places.integers(256))
    return bytes(changed)


def huge_array() -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array_header_1_0(target, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 10**6)})
    return target.getvalue() + bytes(100)


def bomb() -> bytes:
    """A small file of rows that all hold the same long text: gigabytes when they are read."""
    target = io.BytesIO()
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 60, pa.int32()), pa.array(["x" * 40_000_000]))
    pq.write_table(
        pa.table({"x": text}), target, compression="zstd", write_statistics=False, store_schema=False,
        dictionary_pagesize_limit=100_000_000,
    )  # fmt: skip
    return target.getvalue()


def test_a_damaged_file_is_a_reason_and_no_fault(api: httpx.Client, kept: Kept) -> None:
    cases: list[tuple[Any, bytes]] = [
        ("parquet", b""),
        ("parquet", b"PAR1 nonsense PAR1"),
        ("parquet", parquet()[:4] + bytes(500) + parquet()[504:]),
        ("parquet", flipped(parquet(), 1)),
        ("arrow", arrow()[:-10]),
        ("arrow", flipped(arrow(), 1)),
        ("arrow", flipped(arrow(), 2)),
        ("npy", b"\x93NUMPY\x01\x00"),
        ("npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '|O', }"),
        ("npy", huge_array()),
    ]
    kinds = [shown(api, kept.forged(form, content)) for form, content in cases]
    # What was changed in the middle may still be a table, of other words.
    assert all(found["reason"] if found["kind"] == "none" else found["kind"] == "table" for found in kinds), kinds
    assert [found["kind"] for found in kinds if found["kind"] == "none"][5:]


def test_a_table_that_unpacks_to_more_than_is_allowed_hurts_nobody(api: httpx.Client, kept: Kept) -> None:
    found = shown(api, kept.forged("parquet", bomb()))
    assert found["kind"] == "none"
    assert "memory" in found["reason"]


def test_a_reader_that_does_not_end_is_ended(kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = kept.result(pd.DataFrame({"x": [1]}))
    program = tmp_path / "endless.py"
    program.write_text("while True: pass")
    monkeypatch.setattr(preview_tables, "PROGRAM", program)
    monkeypatch.setattr(preview_tables, "SECONDS", 1.0)
    assert "longer than 1 s" in preview(kept.storage, made).reason


def test_a_reader_that_a_file_has_taken_over_is_not_believed(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = kept.result(pd.DataFrame({"x": [1]}))
    program = tmp_path / "liar.py"
    monkeypatch.setattr(preview_tables, "PROGRAM", program)
    answers = (
        *("", "nonsense", "[]", "{}", "[" * 10_000, '{"columns": 1, "rows": [], "total_rows": 1, "truncated": false}'),
        '{"columns": ["a"], "rows": [[1, 2]], "total_rows": 1, "truncated": false}',
    )
    for answer in answers:
        program.write_text(f"print({answer!r})")
        assert "nonsense" in preview(kept.storage, made).reason


def test_tables_in_an_object_store_are_shown_and_downloaded(
    database: Database, s3: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(database, tmp_path)
    kept.storage = Storage(f"s3://store/{secrets.token_hex(4)}", s3)
    made, text = kept.result(pd.DataFrame({"x": range(3)})), kept.beside("note.txt", "hello")
    for name, value in (("AWS_ENDPOINT_URL", s3["endpoint_url"]), ("AWS_ACCESS_KEY_ID", s3["key"])):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3["secret"])
    with pipelines_api(database, tmp_path / "home", storage_url=kept.storage.url) as api:
        assert shown(api, made)["rows"] == [[0], [1], [2]]
        assert shown(api, text)["text"] == "hello"
        answer = api.get(f"/artifacts/{made.id}/content")
        assert len(answer.content) == int(answer.headers["content-length"]) == made.size
        kept.storage.at("pipelines", str(made.pipeline_id), made.run_id, "prepare").remove(f"{made.id}.parquet")
        problem(api.get(f"/artifacts/{made.id}/content"), 404)


def begun(instance: DagsterInstance, database: Database, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> str:
    """A run of a stored pipeline of the stages load and train; its id."""
    made = created(database, "stored")
    return recorded(instance, spec("stored"), status=status, tags=run_tags(spec("stored"), UUID(str(made.id))))


def log_of(api: httpx.Client, run: str, stage: str = "train", **query: Any) -> dict[str, Any]:
    return answered(api.get(f"/runs/{run}/stages/{stage}/logs", params=query))


def test_a_log_can_be_followed_while_its_stage_runs(
    api: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database)
    assert log_of(api, run) == {"stage": "train", "attempt": 0, "lines": [], "ended": False}
    begin, end = threading.Event(), threading.Event()

    def work() -> None:
        with kept.logs.writer(run, "train", 1) as write:
            write([LogLine(1_700_000_000.5, "WARNING", "one"), LogLine(1_700_000_001.0, "INFO", "two")])
            begin.set()
            assert end.wait(30)
            write([LogLine(1_700_000_002.0, "INFO", "three")])

    writer = threading.Thread(target=work)
    writer.start()
    assert begin.wait(30)
    found = log_of(api, run)
    assert found["lines"][0] == {"number": 1, "at": "2023-11-14T22:13:20.500000Z", "level": "WARNING", "text": "one"}
    assert (found["attempt"], len(found["lines"]), found["ended"]) == (1, 2, False)
    assert log_of(api, run, after=2) == {"stage": "train", "attempt": 1, "lines": [], "ended": False}
    end.set()
    writer.join()
    found = log_of(api, run, after=2)
    assert ([line["text"] for line in found["lines"]], found["ended"]) == (["three"], True)
    assert log_of(api, run, limit=2)["ended"] is False


def test_each_attempt_has_its_own_log_and_the_newest_is_told(
    api: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database)
    for number in (1, 2):
        with kept.logs.writer(run, "train", number) as write:
            write([LogLine(1.0, "INFO", f"try {number}")])
    assert log_of(api, run)["lines"][0]["text"] == "try 2"
    assert log_of(api, run, attempt=1)["lines"][0]["text"] == "try 1"
    assert log_of(api, run, attempt=3)["lines"] == []
    assert "2 attempts" in problem(api.get(f"/runs/{run}/stages/train/logs?attempt=4"), 404)["detail"]


def test_a_log_without_an_end_has_ended_with_its_run(
    api: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database, DagsterRunStatus.FAILURE)
    with kept.logs.writer(run, "train", 1) as write:
        write([LogLine(1.0, "INFO", "last words")])
        found = log_of(api, run)
        assert ([line["text"] for line in found["lines"]], found["ended"]) == (["last words"], True)
    assert log_of(api, run, "load") == {"stage": "load", "attempt": 0, "lines": [], "ended": True}


def test_a_log_can_be_had_as_text(api: httpx.Client, kept: Kept, instance: DagsterInstance, database: Database) -> None:
    run = begun(instance, database)
    with kept.logs.writer(run, "train", 1) as write:
        write([LogLine(1_700_000_000.0, "ERROR", f"Größe {number}") for number in range(6000)])
    answer = api.get(f"/runs/{run}/stages/train/logs", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.splitlines()[5999] == "2023-11-14T22:13:20.000Z ERROR Größe 5999"


def test_a_run_or_a_stage_that_is_not_there_has_no_log(
    api: httpx.Client, instance: DagsterInstance, database: Database
) -> None:
    run = begun(instance, database)
    for path in (
        f"/runs/{uuid4()}/stages/train/logs", "/runs/x/stages/train/logs", "/runs/%00/stages/train/logs",
        f"/runs/{run}/stages/other/logs", f"/runs/{run}/stages/%00/logs", f"/runs/{run}/stages/..%2f../logs",
        f"/runs/{run}/stages/.hidden/logs",
    ):  # fmt: skip
        assert api.get(path).status_code == 404, path
    problem(api.get(f"/runs/{run}/stages/train/logs?limit=5001"), 422)
    problem(api.get(f"/runs/{run}/stages/train/logs?after=-1"), 422)
    assert httpx.get(f"{api.base_url}runs/{run}/stages/train/logs").status_code == 401
