"""Files of runs in a folder, on a real PostgreSQL: kept, handed on, replaced."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from mlops_assets.pipelines.artifacts import as_value, keep, newest_result, result_of
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.sandbox import values
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import MissingFileError, Storage, StorageError
from tests.integration.pipelines.artifacts.kept import files, rows
from tests.integration.pipelines.artifacts.stage_outcomes import attempt, made_pipeline, outcome, stored, written

FRAME = pd.DataFrame({"x": [1, 2, 3], "y": ["a", None, "c"]})


def test_what_a_stage_leaves_is_in_the_storage_with_a_row_each(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    done = attempt(pipeline, stage_type=StageType.DATA_INGESTION)
    note = written("../../note", stored(tmp_path / "work", "hello", text=True), "REPORT", {"by": "kim"})
    kept = keep(database, storage, done, outcome(stored(tmp_path / "work", FRAME), note))
    assert [(row.name, row.type, row.is_result, row.storage) for row in kept] == [
        ("../../note", "REPORT", False, "LOCAL"),
        ("prepare", "DATASET", True, "LOCAL"),
    ]
    assert kept[0].details == {"by": "kim"}
    assert kept[1].details == {"format": "parquet", "rows": 3, "columns": 2, "schema": {"x": "int64", "y": "object"}}
    assert [row.id for row in rows(database)] == [row.id for row in kept]
    place = Path(storage.at("pipelines", str(pipeline), done.run_id, "prepare").url)
    assert files(storage) == sorted(Path(str(row.uri)) for row in kept)
    assert {path.parent for path in files(storage)} == {place}
    assert all(path.stat().st_mode & 0o077 == 0 for path in files(storage))
    assert (place / f"{kept[0].id}.txt").read_text() == "hello"


def test_a_result_is_handed_on_as_it_was(database: Database, storage: Storage, pipeline: UUID, tmp_path: Path) -> None:
    for given in (FRAME, np.arange(6).reshape(2, 3), {"a": [1, 2.5, None]}, b"\x00raw", None, {1, 2}):
        run = str(uuid4())
        result = stored(tmp_path / "work", given)
        keep(database, storage, attempt(pipeline, run_id=run), outcome(result))
        row = result_of(database, [run], "prepare")
        assert row is not None
        value = as_value(storage, row, tmp_path / "into")
        assert (value.format, value.sha256, value.size) == (result.format, result.sha256, result.size)
        if value.format == "pickle":
            with pytest.raises(values.PickleRefusedError):
                values.load(value)
        elif isinstance(given, pd.DataFrame):
            pd.testing.assert_frame_equal(values.load(value), given)
        else:
            np.testing.assert_equal(values.load(value), given)
    assert not (tmp_path / "into").exists()


def test_the_first_run_that_has_a_result_gives_it(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    first, second, third = (str(uuid4()) for _ in range(3))
    for run in (first, second):
        keep(database, storage, attempt(pipeline, run_id=run), outcome(stored(tmp_path / "work", run)))
    keep(database, storage, attempt(pipeline, "train", run_id=third), outcome(stored(tmp_path / "work", 1)))
    found = result_of(database, [third, second, first], "prepare")
    assert found is not None
    assert found.run_id == second
    assert result_of(database, [third], "prepare") is None
    assert result_of(database, [], "prepare") is None
    newest = newest_result(database, pipeline, "prepare")
    assert newest is not None
    assert newest.run_id == second
    assert newest_result(database, made_pipeline(database, "other"), "prepare") is None


def test_a_stage_that_is_done_again_in_its_run_replaces_its_result_and_nothing_else(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    run = str(uuid4())
    note = written("note", stored(tmp_path / "work", "first", text=True))
    keep(database, storage, attempt(pipeline, run_id=run), outcome(stored(tmp_path / "work", [1]), note))
    keep(database, storage, attempt(pipeline, run_id=run, number=2), outcome(None))
    keep(database, storage, attempt(pipeline, run_id=run, number=3), outcome(stored(tmp_path / "work", [3])))
    kept = rows(database)
    assert [(row.name, row.attempt) for row in kept] == [("note", 1), ("prepare", 3)]
    assert len(files(storage)) == 2
    assert values.load(as_value(storage, kept[1], tmp_path)) == [3]


def test_a_failed_attempt_keeps_what_it_wrote_and_has_no_result(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    done = attempt(pipeline)
    keep(database, storage, done, outcome(None, written("so far", stored(tmp_path / "work", {"loss": 1.0}), "METRICS")))
    assert [(row.name, row.is_result) for row in rows(database)] == [("so far", False)]
    assert result_of(database, [done.run_id], "prepare") is None
    assert keep(database, storage, attempt(pipeline), outcome(None)) == []


def test_a_stranger_text_is_kept_such_that_the_database_holds_it(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    odd = written(
        "a\0b\ud800'\"; DROP TABLE artifact; --" + "n" * 400,
        stored(tmp_path / "work", [1]),
        "CONFIG",
        {"nan": float("nan"), "n\0": "\ud83d", "big": 10**400, "deep": [[[[]]]]},
    )
    (row,) = keep(database, storage, attempt(pipeline), outcome(None, odd))
    (again,) = rows(database)
    assert again.name == row.name
    assert len(row.name) == 255
    assert row.name.startswith("a�b?'\"; DROP TABLE")
    assert again.details == {"nan": "nan", "n�": "?", "big": 10**400, "deep": [[[[]]]]}


@pytest.mark.parametrize("broken", ["../up", "a/b", "", "."])
def test_a_run_or_a_stage_that_leads_elsewhere_is_refused(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path, broken: str
) -> None:
    for done in (attempt(pipeline, run_id=broken), attempt(pipeline, broken)):
        with pytest.raises(StorageError):
            keep(database, storage, done, outcome(stored(tmp_path / "work", 1)))
    assert files(storage) == []
    assert rows(database) == []


def test_rows_that_the_database_refuses_leave_no_file_and_may_be_tried_again(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    left = outcome(stored(tmp_path / "work", FRAME), written("note", stored(tmp_path / "work", "x", text=True)))
    with pytest.raises(IntegrityError):
        keep(database, storage, attempt(uuid4()), left)
    assert files(storage) == []
    nobody = Database.connect(f"postgresql+psycopg2://nobody@/none?host={tmp_path}")
    with pytest.raises(OperationalError):
        keep(nobody, storage, attempt(pipeline), left)
    assert files(storage) == []
    assert len(keep(database, storage, attempt(pipeline), left)) == 2


def test_a_commit_that_fails_without_an_answer_leaves_the_files(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    def lose(_: Any) -> None:
        raise ConnectionResetError("the connection is gone")

    done = attempt(pipeline)
    event.listen(database.engine, "commit", lose)
    try:
        with pytest.raises(ConnectionResetError):
            keep(database, storage, done, outcome(stored(tmp_path / "work", FRAME)))
    finally:
        event.remove(database.engine, "commit", lose)
    assert len(files(storage)) == 1


def test_a_storage_that_is_full_leaves_neither_files_nor_rows(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = outcome(stored(tmp_path / "work", FRAME), written("note", stored(tmp_path / "work", "x", text=True)))
    real = os.link

    def once(source: Path, target: Path, **options: Any) -> None:
        if files(storage):
            raise OSError(errno.EXDEV, "another file system")
        real(source, target, **options)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", once)
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(StorageError, match="no space left"):
        keep(database, storage, attempt(pipeline), left)
    assert files(storage) == []
    assert rows(database) == []


def test_files_are_copied_where_they_cannot_get_a_second_name(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refused)
    (row,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    (path,) = files(storage)
    assert path.stat().st_mode & 0o077 == 0
    pd.testing.assert_frame_equal(values.load(as_value(storage, row, tmp_path)), FRAME)


def test_of_two_that_keep_the_same_result_at_once_one_stays(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    run = str(uuid4())
    faults: list[Exception] = []

    def work(number: int) -> None:
        try:
            keep(database, storage, attempt(pipeline, run_id=run), outcome(stored(tmp_path / "work", [number])))
        except Exception as error:  # noqa: BLE001 told by the test
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    (row,) = rows(database)
    assert files(storage) == [Path(str(row.uri))]


def test_a_result_whose_file_is_gone_is_told_by_name(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    (row,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    Path(str(row.uri)).unlink()
    with pytest.raises(MissingFileError, match="there is no such file"):
        as_value(storage, row, tmp_path)
    row.uri = None
    with pytest.raises(MissingFileError, match=r"prepare.*was removed"):
        as_value(storage, row, tmp_path)
