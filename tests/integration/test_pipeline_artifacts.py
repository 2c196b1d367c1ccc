"""Files of runs in a folder and in a real object store, on a real PostgreSQL: kept, handed on, removed by age."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import threading
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import event, func, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from mlops_assets.pipelines import artifact_records, artifacts, retention
from mlops_assets.pipelines.artifact_content import blocks
from mlops_assets.pipelines.artifacts import as_value, keep, newest_result, result_of
from mlops_assets.pipelines.retention import Expired, expire
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.sandbox import values
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import MissingFileError, Storage, StorageError
from mlops_assets.storage.pipeline_tables import Artifact
from tests.integration import test_sources
from tests.integration.stage_outcomes import attempt, made_pipeline, outcome, stored, written

s3 = test_sources.s3
FRAME = pd.DataFrame({"x": [1, 2, 3], "y": ["a", None, "c"]})


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


@pytest.fixture
def pipeline(database: Database) -> UUID:
    return made_pipeline(database)


def rows(database: Database) -> list[Artifact]:
    with database.session() as session:
        return list(session.scalars(select(Artifact).order_by(Artifact.created_at)))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


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
    place = tmp_path / "storage" / "pipelines" / str(pipeline) / done.run_id / "prepare"
    assert files(tmp_path / "storage") == sorted(Path(str(row.uri)) for row in kept)
    assert {path.parent for path in files(tmp_path / "storage")} == {place}
    assert all(path.stat().st_mode & 0o077 == 0 for path in files(tmp_path / "storage"))
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
    assert len(files(tmp_path / "storage")) == 2
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
    assert files(tmp_path / "storage") == []
    assert rows(database) == []


def test_rows_that_the_database_refuses_leave_no_file_and_may_be_tried_again(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path
) -> None:
    left = outcome(stored(tmp_path / "work", FRAME), written("note", stored(tmp_path / "work", "x", text=True)))
    with pytest.raises(IntegrityError):
        keep(database, storage, attempt(uuid4()), left)
    assert files(tmp_path / "storage") == []
    nobody = Database.connect(f"postgresql+psycopg2://nobody@/none?host={tmp_path}")
    with pytest.raises(OperationalError):
        keep(nobody, storage, attempt(pipeline), left)
    assert files(tmp_path / "storage") == []
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
    assert len(files(tmp_path / "storage")) == 1


def test_a_storage_that_is_full_leaves_neither_files_nor_rows(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = outcome(stored(tmp_path / "work", FRAME), written("note", stored(tmp_path / "work", "x", text=True)))
    real = os.link

    def once(source: Path, target: Path, **options: Any) -> None:
        if files(tmp_path / "storage"):
            raise OSError(errno.EXDEV, "another file system")
        real(source, target, **options)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "link", once)
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(StorageError, match="no space left"):
        keep(database, storage, attempt(pipeline), left)
    assert files(tmp_path / "storage") == []
    assert rows(database) == []


def test_files_are_copied_where_they_cannot_get_a_second_name(
    database: Database, storage: Storage, pipeline: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refused)
    (row,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    (path,) = files(tmp_path / "storage")
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
    assert files(tmp_path / "storage") == [Path(str(row.uri))]


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


def test_results_go_through_an_object_store(database: Database, s3: dict, pipeline: UUID, tmp_path: Path) -> None:
    storage = Storage(f"s3://store/{secrets.token_hex(4)}", s3)
    big = np.random.default_rng(1).normal(size=600_000)
    run = str(uuid4())
    for given in (FRAME, big):
        keep(database, storage, attempt(pipeline, run_id=run), outcome(stored(tmp_path / "work", given)))
    (row,) = rows(database)
    assert row.storage == "S3"
    assert str(row.uri).startswith(f"{storage.url}/pipelines/")
    folder = tmp_path / "into"
    folder.mkdir()
    value = as_value(storage, row, folder)
    assert value.path is not None
    assert value.path.parent == folder
    np.testing.assert_array_equal(values.load(value), big)
    assert b"".join(blocks(storage, row)) == value.path.read_bytes()
    assert artifacts.folder_of(storage, pipeline, run, "prepare").names() == (f"{row.id}.npy",)
    artifacts.folder_of(storage, pipeline, run, "prepare").write_bytes(f"{row.id}.npy", bytes(row.size))
    with pytest.raises(StorageError, match="isn't what stage prepare"):
        as_value(storage, row, folder)


def test_an_object_store_that_is_not_there_is_told_of(database: Database, pipeline: UUID, tmp_path: Path) -> None:
    port = test_sources.free_port()
    options = {"endpoint_url": f"http://127.0.0.1:{port}", "key": "k", "secret": "s"}
    storage = Storage("s3://store/none", options)
    with pytest.raises(StorageError, match="s3://store/none"):
        keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    assert rows(database) == []


def nobody(_: Collection[str]) -> set[str]:
    return set()


def age(database: Database, days: float, *ids: UUID) -> None:
    """Make rows, and the files and folders of runs, older."""
    with database.session() as session, session.begin():
        older = Artifact.created_at - timedelta(days=days)
        session.execute(update(Artifact).where(Artifact.id.in_(ids)).values(created_at=older))


def age_folder(folder: Path, days: float) -> None:
    moment = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (moment, moment), follow_symlinks=False)


@pytest.fixture
def logs(tmp_path: Path) -> StageLogs:
    return StageLogs(tmp_path / "logs")


def test_old_files_go_and_their_rows_stay(
    database: Database, storage: Storage, logs: StageLogs, pipeline: UUID, tmp_path: Path
) -> None:
    (old,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    (nothing,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", None)))
    (young,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    age(database, 31, old.id, nothing.id)
    age(database, 29, young.id)
    assert expire(database, storage, logs, 30, going=nobody) == Expired(artifacts=1, bytes=old.size)
    assert files(tmp_path / "storage") == [Path(str(young.uri))]
    assert not Path(str(old.uri)).parent.parent.exists()
    kept = {row.id: row for row in rows(database)}
    assert kept[old.id].uri is None
    assert kept[old.id].removed_at is not None
    assert kept[nothing.id].removed_at is None
    assert kept[young.id].removed_at is None
    assert expire(database, storage, logs, 30, going=nobody) == Expired()
    assert result_of(database, [old.run_id], "prepare") is not None
    age(database, 5, young.id)
    expire(database, storage, logs, 30, going=nobody)
    assert newest_result(database, pipeline, "prepare").id == nothing.id  # type: ignore[union-attr]
    counts = artifact_records.counts(database)
    assert (counts.total, counts.bytes, counts.by_type) == (0, 0, {})


def test_nothing_of_a_run_that_is_going_is_removed(
    database: Database, storage: Storage, logs: StageLogs, pipeline: UUID, tmp_path: Path
) -> None:
    done = attempt(pipeline)
    (row,) = keep(database, storage, done, outcome(stored(tmp_path / "work", FRAME)))
    with logs.writer(done.run_id, "prepare", 1) as write:
        write([LogLine(1.0, "INFO", "hello")])
    stray = Path(str(row.uri)).with_name("stray.bin")
    stray.write_bytes(b"1")
    age(database, 400, row.id)
    age_folder(tmp_path / "storage", 400)
    age_folder(logs.folder, 400)
    assert expire(database, storage, logs, 30, going=lambda runs: {done.run_id}.intersection(runs)) == Expired()
    assert files(tmp_path / "storage") == sorted([Path(str(row.uri)), stray])
    assert logs.attempts(done.run_id, "prepare") == [1]


def test_old_logs_go_with_their_folders(database: Database, storage: Storage, logs: StageLogs, tmp_path: Path) -> None:
    for run in ("old", "young"):
        for stage in ("prepare", "train"):
            with logs.writer(run, stage, 1) as write:
                write([LogLine(1.0, "INFO", run)])
    age_folder(logs.folder, 31)
    with logs.writer("young", "train", 2):
        pass
    assert expire(database, storage, logs, 30, going=nobody) == Expired(logs=1)
    assert sorted(path.name for path in logs.folder.iterdir()) == ["young"]
    assert logs.attempts("young", "prepare") == [1]


def test_a_removal_that_was_killed_is_taken_up_again(
    database: Database, storage: Storage, logs: StageLogs, pipeline: UUID, tmp_path: Path, monkeypatch: Any
) -> None:
    kept = [
        keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", [number])))[0]
        for number in range(7)
    ]
    age(database, 31, *(row.id for row in kept))
    monkeypatch.setattr(retention, "BATCH", 3)
    real = Storage.remove
    seen = []

    def killed(self: Storage, name: str) -> None:
        seen.append(name)
        real(self, name)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            expire(database, storage, logs, 30, going=nobody)
    assert sum(row.uri is None for row in rows(database)) == 3
    assert len(files(tmp_path / "storage")) == 2
    assert expire(database, storage, logs, 30, going=nobody).artifacts == 4
    assert all(row.removed_at is not None for row in rows(database))
    assert files(tmp_path / "storage") == []


def test_files_without_a_row_go_when_they_are_old(
    database: Database, storage: Storage, logs: StageLogs, pipeline: UUID, tmp_path: Path
) -> None:
    (row,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    lost = artifacts.folder_of(storage, pipeline, str(uuid4()), "prepare")
    fresh = artifacts.folder_of(storage, pipeline, str(uuid4()), "prepare")
    lost.write_bytes("lost.parquet", b"1")
    (Path(lost.url) / ".abc.partial").write_bytes(b"half")
    age_folder(tmp_path / "storage", 31)
    fresh.write_bytes("fresh.parquet", b"1")
    assert expire(database, storage, logs, 30, going=nobody) == Expired(strays=1)
    assert files(tmp_path / "storage") == sorted([Path(str(row.uri)), Path(fresh.url) / "fresh.parquet"])


def test_files_in_an_object_store_are_removed_by_age(
    database: Database, s3: dict, logs: StageLogs, pipeline: UUID, tmp_path: Path
) -> None:
    storage = Storage(f"s3://store/{secrets.token_hex(4)}", s3)
    (old,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    (young,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    lost = artifacts.folder_of(storage, pipeline, str(uuid4()), "prepare")
    lost.write_bytes("lost.parquet", b"1")
    age(database, 31, old.id)
    assert expire(database, storage, logs, 30, going=nobody) == Expired(artifacts=1, bytes=old.size)
    later = datetime.now(UTC) + timedelta(days=31)
    assert expire(database, storage, logs, 30, going=lambda ids: {young.run_id}, now=later) == Expired(strays=1)
    assert not lost.exists("lost.parquet")
    assert artifacts.folder_of(storage, pipeline, young.run_id, "prepare").names() == (f"{young.id}.parquet",)


def test_what_is_in_another_storage_is_left_alone(
    database: Database, storage: Storage, logs: StageLogs, pipeline: UUID, tmp_path: Path
) -> None:
    (row,) = keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", FRAME)))
    with database.session() as session, session.begin():
        session.execute(update(Artifact).values(storage="S3"))
    age(database, 31, row.id)
    assert expire(database, storage, logs, 30, going=nobody) == Expired()
    assert rows(database)[0].uri is not None


def test_a_file_that_cannot_be_removed_now_holds_up_no_other(
    database: Database, storage: Storage, logs: StageLogs, pipeline: UUID, tmp_path: Path, monkeypatch: Any, caplog: Any
) -> None:
    kept = [keep(database, storage, attempt(pipeline), outcome(stored(tmp_path / "work", [n])))[0] for n in range(3)]
    age(database, 31, *(row.id for row in kept))
    real = Storage.remove

    def stuck(self: Storage, name: str) -> None:
        if name.startswith(str(kept[0].id)):
            raise StorageError("busy")
        real(self, name)

    monkeypatch.setattr(Storage, "remove", stuck)
    with caplog.at_level(logging.WARNING):
        done = expire(database, storage, logs, 30, going=nobody)
    assert (done.artifacts, done.failed) == (2, 1)
    assert str(kept[0].id) in caplog.text
    with database.session() as session:
        assert session.scalar(select(func.count()).where(Artifact.removed_at.is_(None))) == 1


def test_files_are_never_kept_for_less_than_a_day(database: Database, storage: Storage, logs: StageLogs) -> None:
    with pytest.raises(ValueError, match="days: "):
        expire(database, storage, logs, 0, going=nobody)
