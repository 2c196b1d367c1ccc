"""Files and logs of runs are removed by age, in a folder and on a real PostgreSQL; their rows stay."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import func, select, update

from mlops_assets.definitions import defs
from mlops_assets.pipelines import artifact_records, artifacts, retention
from mlops_assets.pipelines.artifacts import newest_result, result_of
from mlops_assets.pipelines.retention import Expired, expire
from mlops_assets.retention import rounds
from mlops_assets.retention.round import Round, Swept
from mlops_assets.sandbox.log_lines import LogLine
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.storage.pipeline_tables import Artifact
from tests.integration.pipelines.artifacts.kept import Kept, age, age_folder, files, rows

FRAME = pd.DataFrame({"x": [1, 2, 3]})


def test_old_files_go_and_their_rows_stay(database: Database, kept: Kept) -> None:
    old = kept.result(FRAME)
    nothing = kept.result(None)
    young = kept.result(FRAME)
    age(database, 31, old.id, nothing.id)
    age(database, 29, young.id)
    assert kept.expire() == Expired(artifacts=1, bytes=old.size)
    assert files(kept.storage) == [Path(str(young.uri))]
    assert not Path(str(old.uri)).parent.parent.exists()
    now = {row.id: row for row in rows(database)}
    assert now[old.id].uri is None
    assert now[old.id].removed_at is not None
    assert now[nothing.id].removed_at is None
    assert now[young.id].removed_at is None
    assert kept.expire() == Expired()
    assert result_of(database, [old.run_id], "prepare") is not None
    age(database, 5, young.id)
    kept.expire()
    assert newest_result(database, kept.pipeline, "prepare").id == nothing.id  # type: ignore[union-attr]
    counts = artifact_records.counts(database)
    assert (counts.total, counts.bytes, counts.by_type) == (0, 0, {})


def test_nothing_of_a_run_that_is_going_is_removed(database: Database, kept: Kept) -> None:
    row = kept.result(FRAME)
    with kept.logs.writer(row.run_id, "prepare", 1) as write:
        write([LogLine(1.0, "INFO", "hello")])
    stray = Path(str(row.uri)).with_name("stray.bin")
    stray.write_bytes(b"1")
    age(database, 400, row.id)
    age_folder(Path(kept.storage.url), 400)
    age_folder(kept.logs.folder, 400)
    assert kept.expire(lambda runs: {row.run_id}.intersection(runs)) == Expired()
    assert files(kept.storage) == sorted([Path(str(row.uri)), stray])
    assert kept.logs.attempts(row.run_id, "prepare") == [1]


def test_old_logs_go_with_their_folders(kept: Kept) -> None:
    for run in ("old", "young"):
        for stage in ("prepare", "train"):
            with kept.logs.writer(run, stage, 1) as write:
                write([LogLine(1.0, "INFO", run)])
    age_folder(kept.logs.folder, 31)
    with kept.logs.writer("young", "train", 2):
        pass
    assert kept.expire() == Expired(logs=1)
    assert sorted(path.name for path in kept.logs.folder.iterdir()) == ["young"]
    assert kept.logs.attempts("young", "prepare") == [1]


def test_a_removal_that_was_killed_is_taken_up_again(
    database: Database, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(database, 31, *(kept.result([number]).id for number in range(7)))
    monkeypatch.setattr(retention, "BATCH", 3)
    real = Storage.remove
    seen: list[str] = []

    def killed(self: Storage, name: str) -> None:
        seen.append(name)
        real(self, name)
        if len(seen) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            kept.expire()
    assert sum(row.uri is None for row in rows(database)) == 3
    assert len(files(kept.storage)) == 2
    assert kept.expire().artifacts == 4
    assert all(row.removed_at is not None for row in rows(database))
    assert files(kept.storage) == []


def test_files_without_a_row_go_when_they_are_old(database: Database, kept: Kept) -> None:
    row = kept.result(FRAME)
    lost = artifacts.folder_of(kept.storage, kept.pipeline, str(uuid4()), "prepare")
    fresh = artifacts.folder_of(kept.storage, kept.pipeline, str(uuid4()), "prepare")
    lost.write_bytes("lost.parquet", b"1")
    (Path(lost.url) / ".abc.partial").write_bytes(b"half")
    age_folder(Path(kept.storage.url), 31)
    fresh.write_bytes("fresh.parquet", b"1")
    assert kept.expire() == Expired(strays=1)
    assert files(kept.storage) == sorted([Path(str(row.uri)), Path(fresh.url) / "fresh.parquet"])


def test_what_is_in_another_storage_is_left_alone(database: Database, kept: Kept) -> None:
    row = kept.result(FRAME)
    with database.session() as session, session.begin():
        session.execute(update(Artifact).values(storage="S3"))
    age(database, 31, row.id)
    assert kept.expire() == Expired()
    assert rows(database)[0].uri is not None


def test_a_file_that_cannot_be_removed_now_holds_up_no_other(
    database: Database, kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [kept.result([number]).id for number in range(3)]
    age(database, 31, *ids)
    real = Storage.remove

    def stuck(self: Storage, name: str) -> None:
        if name.startswith(str(ids[0])):
            raise StorageError("busy")
        real(self, name)

    monkeypatch.setattr(Storage, "remove", stuck)
    with caplog.at_level(logging.WARNING):
        done = kept.expire()
    assert (done.artifacts, done.failed) == (2, 1)
    assert str(ids[0]) in caplog.text
    with database.session() as session:
        assert session.scalar(select(func.count()).where(Artifact.removed_at.is_(None))) == 1


def test_files_are_never_kept_for_less_than_a_day(database: Database, kept: Kept) -> None:
    with pytest.raises(ValueError, match="days: "):
        expire(database, kept.storage, kept.logs, 0, going=lambda _: ())


def test_the_nightly_round_removes_what_is_old_and_says_how_much(database: Database, kept: Kept) -> None:
    old, new = kept.result([1]), kept.result([2])
    age(database, 8, old.id)
    age(database, 6, new.id)
    settings = Settings(home=kept.settings.home, artifact_days=7)
    with dg.DagsterInstance.ephemeral() as instance:
        work = Round.begun(settings, database, kept.storage, instance, apply=True, seconds=60)
        done = rounds.run(work, {"pipeline_files"} & rounds.NIGHTLY.keys())
    assert files(kept.storage) == [Path(str(new.uri))]
    assert done == {"pipeline_files": Swept(removed=1, bytes=old.size)}


def test_the_platform_removes_old_files_every_night() -> None:
    schedule = defs().get_repository_def().get_schedule_def("platform_retention_schedule")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
