"""What is shown of an artifact over the served API, its tables read by a real process of their own."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.pipelines import preview_tables
from mlops_assets.pipelines.previews import preview
from tests.integration.answers import problem
from tests.integration.pipelines.artifacts.kept import Kept, shown

PNG = b"\x89PNG\r\n\x1a\n" + bytes(50)


def test_only_proven_images_are_drawn(client: httpx.Client, kept: Kept) -> None:
    plot = kept.beside("plot.png", PNG, "PLOT")
    found = shown(client, plot)
    assert (found["kind"], found["image"]) == ("image", f"/api/v1/artifacts/{plot.id}/image")
    answer = client.get(f"/artifacts/{plot.id}/image")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    for other in (kept.beside("x.png", b"<svg onload=alert(1)>"), kept.beside("y.png", "text"), kept.result([1])):
        problem(client.get(f"/artifacts/{other.id}/image"), 404)
        assert shown(client, other)["image"] is None


def test_a_table_is_shown_in_part(client: httpx.Client, kept: Kept) -> None:
    wide = pd.DataFrame({f"c{number}": range(120) for number in range(60)})
    found = shown(client, kept.result(wide))
    assert (found["kind"], found["total_rows"], found["truncated"]) == ("table", 120, True)
    assert found["columns"] == [f"c{number}" for number in range(50)]
    assert found["rows"] == [[number] * 50 for number in range(50)]


def test_cells_are_text_numbers_booleans_or_null(client: httpx.Client, kept: Kept) -> None:
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
    found = shown(client, kept.result(table))
    first, second, third = found["rows"]
    assert first[:5] == [1.5, "x" * 300 + "…", True, "2024-01-02 00:00:00Z", str(2**60)]
    assert first[5] == "1970-01-01 00:00:00.000000001"
    assert "datetime.datetime(2024, 1, 2" in first[6]
    assert second == ["nan", None, False, None, 1, None, None]
    assert third[0] == "inf"
    assert not found["truncated"]


def test_arrays_are_shown_as_tables(client: httpx.Client, kept: Kept) -> None:
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
        found = shown(client, kept.result(array))
        assert (found["kind"], found["rows"], found["total_rows"]) == ("table", rows, len(rows)), found


def test_arrow_tables_are_shown_over_their_batches(client: httpx.Client, kept: Kept) -> None:
    table = pa.concat_tables([pa.table({"a": [number], "b": [{"k": [number]}]}) for number in range(70)])
    found = shown(client, kept.result(table))
    assert (found["total_rows"], found["truncated"], len(found["rows"])) == (70, True, 50)
    assert found["rows"][3] == [3, "{'k': [3]}"]


def test_an_array_of_many_dimensions_is_not_shown(client: httpx.Client, kept: Kept) -> None:
    found = shown(client, kept.result(np.zeros((2, 3, 4))))
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


def test_a_damaged_file_is_a_reason_and_no_fault(client: httpx.Client, kept: Kept) -> None:
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
    kinds = [shown(client, kept.forged(form, content)) for form, content in cases]
    # What was changed in the middle may still be a table, of other words.
    assert all(found["reason"] if found["kind"] == "none" else found["kind"] == "table" for found in kinds), kinds
    assert [found["kind"] for found in kinds if found["kind"] == "none"][5:]


def test_a_table_that_unpacks_to_more_than_is_allowed_hurts_nobody(client: httpx.Client, kept: Kept) -> None:
    found = shown(client, kept.forged("parquet", bomb()))
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


def test_a_reader_whose_libraries_break_down_at_its_end_has_told_what_it_read(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = kept.result(pd.DataFrame({"x": [1, 2]}))
    program = tmp_path / "aborting.py"
    # As Arrow's threads do once in some hundred times.
    program.write_text(
        "import atexit, os, runpy\n"
        "atexit.register(os.abort)\n"
        f"runpy.run_path({str(preview_tables.PROGRAM)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(preview_tables, "PROGRAM", program)
    assert preview(kept.storage, made).total_rows == 2
