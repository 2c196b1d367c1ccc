"""What is shown of artifacts in text formats, and what they are called when somebody downloads them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mlops_assets.pipelines.artifact_content import disposition, file_name, media_type
from mlops_assets.pipelines.artifact_facts import details_of, storable, storage_word, type_of_result
from mlops_assets.pipelines.previews import Preview, image, preview
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.sandbox.order import Format, StoredValue
from mlops_assets.sandbox.values import SUFFIXES
from mlops_assets.storage.files import Storage
from mlops_assets.storage.pipeline_tables import Artifact

ID = UUID("7a1b2c3d-0000-4000-8000-000000000001")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def artifact(form: Format, content: bytes = b"", name: str = "thing", **fields: Any) -> Artifact:
    return Artifact(
        id=ID,
        pipeline_id=ID,
        run_id="run",
        stage="train",
        name=name,
        format=form,
        size=len(content),
        storage="LOCAL",
        **{"type_name": "builtins.str", "uri": "somewhere", "details": {}, "type": "OTHER", **fields},
    )


def shown(tmp_path: Path, form: Format, content: bytes, name: str = "thing", **fields: Any) -> Preview:
    made = artifact(form, content, name, **fields)
    folder = Storage(str(tmp_path)).at("pipelines", str(ID), "run", "train")
    folder.write_bytes(f"{ID}.{SUFFIXES[form]}", content)
    return preview(Storage(str(tmp_path)), made)


def test_json_is_laid_out(tmp_path: Path) -> None:
    found = shown(tmp_path, "json", b'{"b":[1,NaN],"a":"\\u00fc"}')
    assert found == Preview("text", text='{\n  "b": [\n    1,\n    NaN\n  ],\n  "a": "ü"\n}')


@pytest.mark.parametrize(
    "content",
    [b"{broken", b"[" * 50_000 + b"]" * 5000, b"9" * 60_000, b'"\\ud800"', b"\xff\xfe\x00"],
    ids=["broken", "deep", "a long number", "half a character", "no text"],
)
def test_json_that_cannot_be_laid_out_is_shown_as_it_is(tmp_path: Path, content: bytes) -> None:
    found = shown(tmp_path, "json", content)
    assert found.kind == "text"
    assert found.text.encode()[:10]  # can be sent


def test_of_a_long_text_the_beginning_is_shown_without_half_a_character(tmp_path: Path) -> None:
    found = shown(tmp_path, "text", b"a" + "ü".encode() * 50_000)
    assert found.truncated
    assert found.text == "a" + "ü" * 32_767
    assert shown(tmp_path, "text", b"short") == Preview("text", text="short")


@pytest.mark.parametrize(("form", "name", "details"), [("text", "rows.CSV", {}), ("bytes", "rows", {"format": "csv"})])
def test_csv_is_a_table(tmp_path: Path, form: Format, name: str, details: dict[str, str]) -> None:
    content = '\ufeffcity,price\r\n"Ban,ga""lore",60\r\nshort\r\n'.encode()
    found = shown(tmp_path, form, content, name, details=details)
    assert (found.kind, found.columns, found.truncated, found.total_rows) == ("table", ["city", "price"], False, 2)
    assert found.rows == [['Ban,ga"lore', "60"], ["short", None]]


def test_of_a_large_csv_only_whole_rows_are_shown(tmp_path: Path) -> None:
    wide = ",".join(f"c{number}" for number in range(60))
    content = (wide + "\n" + ("1" * 40 + ",") * 59 + "1\n") * 40
    found = shown(tmp_path, "text", content.encode(), "x.csv")
    assert found.truncated
    assert found.total_rows is None
    assert len(found.columns) == 50
    assert all(row == ["1" * 40] * 50 or row[0] == "c0" for row in found.rows)
    assert 0 < len(found.rows) <= 50


def test_csv_that_is_none_is_text(tmp_path: Path) -> None:
    assert shown(tmp_path, "text", b"x" * 10, "empty.csv").kind == "table"
    assert shown(tmp_path, "text", b"", "empty.csv") == Preview("text")
    assert shown(tmp_path, "text", b"a,b\n" + b'"' + b"x" * 200_000, "odd.csv").kind == "table"
    assert shown(tmp_path, "text", b"y" * 200_000, "odd.csv").kind == "text"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
        (b"GIF89a" + bytes(20), "image/gif"),
        (b"GIF87a" + bytes(20), "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 " + bytes(20), "image/webp"),
        (b"<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"RIFF\x10\x00\x00\x00WAVEfmt " + bytes(20), None),
        (b"<!doctype html><script>1</script>", None),
        (b"", None),
    ],
)
def test_only_what_begins_as_an_image_is_one(tmp_path: Path, head: bytes, kind: str | None) -> None:
    found = shown(tmp_path, "bytes", head, "plot.png")
    assert (found.kind == "image") == (kind is not None)
    assert image(Storage(str(tmp_path)), artifact("bytes", head)) == kind


def test_bytes_that_are_text_are_shown_as_text_and_others_are_not(tmp_path: Path) -> None:
    assert shown(tmp_path, "bytes", "# Grüße\n".encode()) == Preview("text", text="# Grüße\n")
    cut = shown(tmp_path, "bytes", b"a" + "ü".encode() * 50_000)
    assert (cut.kind, cut.truncated) == ("text", True)
    for content in (b"\x00\x01", b"\xff\xfeab", b"abc\x00", "ü".encode()[:1]):
        assert "neither text nor an image" in shown(tmp_path, "bytes", content).reason


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    found = shown(tmp_path, "pickle", b"cos\nsystem\n(S'touch pwned'\ntR.", type_name="sklearn.linear_model.Ridge")
    assert found.kind == "none"
    assert "sklearn.linear_model.Ridge is stored as a pickle" in found.reason


def test_what_is_not_there_is_a_reason(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    assert "returned None" in preview(storage, artifact("none", uri=None)).reason
    assert "removed" in preview(storage, artifact("text", uri=None)).reason
    assert "isn't in the storage" in preview(storage, artifact("text", b"12")).reason
    shown(tmp_path, "text", b"123")
    assert "isn't what the stage left" in preview(storage, artifact("text", b"12")).reason


@pytest.mark.parametrize(
    ("form", "name", "expected"),
    [
        ("parquet", "clean rows", "clean rows.parquet"),
        ("parquet", "clean.parquet", "clean.parquet"),
        ("parquet", "evil.exe", "evil.exe.parquet"),
        ("pickle", "model.bin", "model.bin.pickle"),
        ("bytes", "plot.png", "plot.png"),
        ("bytes", "plot", "plot.bin"),
        ("text", "report.md", "report.md"),
        ("text", "../../etc/passwd", "_.._etc_passwd.txt"),
        ("json", 'a"b\r\nSet-Cookie: x', "a_b__Set-Cookie_ x.json"),
        ("json", "...", "artifact.json"),
        ("json", "Größe 日本", "Größe 日本.json"),
        ("text", "invoice\u202egpj.exe", "invoice_gpj.exe"),
        ("npy", "n" * 300, "n" * 120 + ".npy"),
    ],
)
def test_a_download_has_a_name_that_every_system_takes(form: Format, name: str, expected: str) -> None:
    assert file_name(artifact(form, name=name)) == expected


def test_the_header_of_a_download_holds_any_name() -> None:
    assert disposition('a"b.json') == "attachment; filename=\"a_b.json\"; filename*=UTF-8''a%22b.json"
    assert disposition("Größe 日本.json").endswith("filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%E6%97%A5%E6%9C%AC.json")
    assert 'filename="Groe .json"' in disposition("Größe 日本.json")
    assert 'filename="artifact.json"' in disposition("日本.json")


def test_nothing_is_sent_as_what_a_browser_would_run() -> None:
    kinds = {form: media_type(artifact(form)) for form in SUFFIXES}
    assert kinds["pickle"] == kinds["bytes"] == kinds["npy"] == "application/octet-stream"
    assert kinds["json"] == "application/json"
    assert kinds["text"] == "text/plain; charset=utf-8"


def value(form: Format, type_name: str = "builtins.dict", **preview: Any) -> StoredValue:
    return StoredValue(form, None, 0, hashlib.sha256().hexdigest(), type_name, preview)


@pytest.mark.parametrize(
    ("stage_type", "stored", "expected"),
    [
        (StageType.DATA_INGESTION, value("parquet"), "DATASET"),
        (StageType.MODEL_TRAINING, value("arrow"), "DATASET"),
        (StageType.MODEL_TRAINING, value("pickle", "sklearn.tree.DecisionTreeClassifier"), "MODEL"),
        (StageType.HYPERPARAMETER_TUNING, value("json"), "MODEL"),
        (StageType.MODEL_TRAINING, value("none", "None"), "OTHER"),
        (StageType.MODEL_EVALUATION, value("json"), "METRICS"),
        (StageType.DATA_VALIDATION, value("json", "builtins.float"), "METRICS"),
        (StageType.MODEL_MONITORING, value("npy", "numpy.float64"), "METRICS"),
        (StageType.MODEL_COMPARISON, value("json", "builtins.list"), "OTHER"),
        (StageType.MODEL_TESTING, value("json", "builtins.bool"), "OTHER"),
        (StageType.MODEL_EVALUATION, value("npy", "numpy.ndarray"), "OTHER"),
        (StageType.DATA_INGESTION, value("json"), "OTHER"),
    ],
)
def test_the_type_of_a_result_follows_from_its_stage_and_its_format(
    stage_type: StageType, stored: StoredValue, expected: str
) -> None:
    assert type_of_result(stage_type, stored) == expected


def test_what_a_stage_says_of_its_artifact_wins_over_what_is_known() -> None:
    table = value("parquet", rows=3, column_count=2, columns=[["x", "int64"], ["y", "object"]])
    facts = details_of("DATASET", table, {"rows": "many", "source": "s"})
    assert facts == {
        "format": "parquet", "rows": "many", "columns": 2, "schema": {"x": "int64", "y": "object"}, "source": "s"
    }  # fmt: skip
    model = details_of("MODEL", value("pickle", "sklearn.linear_model._base.LinearRegression"), {})
    assert model["framework"] == "sklearn"
    assert model["algorithm"] == "LinearRegression"
    assert model["type"] == "sklearn.linear_model._base.LinearRegression"
    assert details_of("METRICS", value("json"), {"r2": 0.9}) == {"r2": 0.9}


@pytest.mark.parametrize("columns", ["text", [[1, 2, 3]], [None], {"a": 1}, [["x", ["y"]]], -1, None])
def test_a_preview_that_lies_does_no_harm(columns: Any) -> None:
    facts = details_of("DATASET", value("parquet", rows=columns, column_count=columns, columns=columns), {})
    assert set(facts) <= {"format", "schema", "rows", "columns"}
    assert all(isinstance(kind, str) for kind in facts.get("schema", {}).values())


def test_what_is_kept_in_a_row_is_json_that_postgresql_takes() -> None:
    deep: Any = "bottom"
    for _ in range(200):
        deep = [deep]
    given = {"a\0": "b\0\ud800", "n": float("nan"), "i": [float("inf"), 1.5], "deep": deep, "ok": None}
    kept = storable(given)
    text = json.dumps(kept, allow_nan=False)
    assert "\\u0000" not in text
    assert "\\ud800" not in text
    assert len(text) < 500
    assert kept["i"] == ["inf", 1.5]


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("/srv/files", "LOCAL"), ("file:///srv", "LOCAL"), ("s3://bucket/x", "S3"),
        ("gs://bucket", "GCS"), ("abfs://container/x", "AZURE"),
        ("abfss://container@account.dfs.core.windows.net", "AZURE"),
    ],
)  # fmt: skip
def test_the_word_for_a_storage_follows_from_its_address(url: str, word: str) -> None:
    assert storage_word(url) == word
