"""What stages leave behind: taken into the storage with a row each, and handed to the stages that come after.

Add here what happens to a file on its way into the storage or out of it to a stage. Keep out listing
(`artifact_records`), showing (`previews`) and removal by age (`retention`), and what a result's type is
(`artifact_facts`). A file's name in the storage is made here, of the artifact's id: a stage's own names never become
paths.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from mlops_assets.pipelines.artifact_facts import details_of, storable, storage_word, type_of_result
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.sandbox.order import Format, StageOutcome, StoredValue
from mlops_assets.sandbox.values import SUFFIXES
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import MissingFileError, Storage, StorageError, sha256_of, told
from mlops_assets.storage.pipeline_tables import Artifact

FOLDER = "pipelines"
LONGEST_NAME, LONGEST_TYPE_NAME = 255, 200


@dataclass(frozen=True)
class Attempt:
    """One attempt of one stage in one run, `number` from 1."""

    pipeline_id: UUID
    pipeline_version: int
    run_id: str
    stage: str
    stage_type: StageType
    number: int


@dataclass(frozen=True)
class _Left:
    """Something that a stage left, not yet in the storage."""

    value: StoredValue
    name: str
    type: str
    is_result: bool
    metadata: Mapping[str, Any]
    id: UUID = field(default_factory=uuid4)


def keep(database: Database, storage: Storage, attempt: Attempt, outcome: StageOutcome) -> list[Artifact]:
    """Take over what an attempt left, its result last: files into the storage, then all rows at once.

    The stage's folder stays as it is: a file gets a second name in the storage if both are on one file system, and is
    copied otherwise. The result of an earlier attempt in the same run is replaced. Raises StorageError,
    SQLAlchemyError; then no row is there, and it may be tried again.
    """
    left = [_Left(written.value, written.name, written.type, False, written.metadata) for written in outcome.artifacts]
    if outcome.result is not None:
        kind = type_of_result(attempt.stage_type, outcome.result)
        left.append(_Left(outcome.result, attempt.stage, kind, True, {}))
    if not left:
        return []
    folder = folder_of(storage, attempt.pipeline_id, attempt.run_id, attempt.stage)
    # The files go again if the rows are refused, but not if the commit fails: that may have been done nevertheless.
    with database.session() as session, session.begin(), _stored(folder, left):
        replaced = _replaced(session, attempt) if outcome.result is not None else []
        rows = [_row(folder, attempt, one) for one in left]
        session.add_all(rows)
        session.flush()
    for name in replaced:
        # Its row is gone; if the file can't be removed now, retention will.
        with suppress(StorageError):
            folder.remove(name)
    return rows


def result_of(database: Database, run_ids: Sequence[str], stage: str) -> Artifact | None:
    """The result of a stage in the first of the runs that has one."""
    with database.session() as session:
        query = select(Artifact).where(
            Artifact.run_id.in_(list(run_ids)), Artifact.stage == stage, Artifact.is_result.is_(True)
        )
        found = {row.run_id: row for row in session.scalars(query)}
    return next((found[run_id] for run_id in run_ids if run_id in found), None)


def newest_result(database: Database, pipeline_id: UUID, stage: str) -> Artifact | None:
    """The newest result of a stage in any run of its pipeline that retention hasn't removed."""
    query = (
        select(Artifact)
        .where(
            Artifact.pipeline_id == pipeline_id,
            Artifact.stage == stage,
            Artifact.is_result.is_(True),
            Artifact.removed_at.is_(None),
        )
        .order_by(Artifact.created_at.desc())
        .limit(1)
    )
    with database.session() as session:
        return session.scalar(query)


def as_value(storage: Storage, artifact: Artifact, into: Path) -> StoredValue:
    """The artifact as a stage can be given it: its file in place, or fetched into the folder from an object store.

    Raises MissingFileError when retention has removed the file or it isn't there, StorageError.
    """
    path = None
    if artifact.format != "none":
        folder, name = place_of(storage, artifact)
        if folder.folder is not None:
            path = folder.folder / name
            if not path.is_file():
                raise MissingFileError(f"{path}: there is no such file")
        else:
            path = into / name
            folder.read_file(name, path)
            if sha256_of(path) != artifact.sha256:
                raise StorageError(f"{folder.locate(name)}: isn't what stage {artifact.stage} of that run has left")
    return StoredValue(
        format=_format(artifact),
        path=path,
        size=artifact.size,
        sha256=artifact.sha256,
        type_name=artifact.type_name,
        preview=artifact.preview,
    )


def folder_of(storage: Storage, pipeline_id: UUID, run_id: str, stage: str) -> Storage:
    """Where the files of a stage of a run are. StorageError: a run or a stage that can't be part of a path."""
    return storage.at(FOLDER, str(pipeline_id), run_id, stage)


def place_of(storage: Storage, artifact: Artifact) -> tuple[Storage, str]:
    """The folder and the name of an artifact's file; found from its row alone, so the storage may have moved.

    Raises MissingFileError when there is none: a result of None, or one that retention has removed.
    """
    if artifact.uri is None:
        why = "was None" if artifact.format == "none" else "is older than files are kept, and was removed"
        raise MissingFileError(f"what stage {artifact.stage} of run {artifact.run_id} left {why}: there is no file")
    folder = folder_of(storage, artifact.pipeline_id, artifact.run_id, artifact.stage)
    return folder, _file_name(artifact.id, _format(artifact))


def _format(artifact: Artifact) -> Format:
    if artifact.format not in SUFFIXES:
        raise StorageError(f"artifact {artifact.id} has the unknown format {artifact.format!r}")
    return artifact.format


def _file_name(artifact_id: UUID, form: Format) -> str:
    return f"{artifact_id}.{SUFFIXES[form]}"


def _replaced(session: Session, attempt: Attempt) -> list[str]:
    """Take the result of an earlier attempt out of the table; its file's name."""
    # Two that keep the same stage's result at once do so one after the other.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"{attempt.run_id}/{attempt.stage}"))))
    earlier = session.execute(
        delete(Artifact)
        .where(Artifact.run_id == attempt.run_id, Artifact.stage == attempt.stage, Artifact.is_result.is_(True))
        .returning(Artifact.id, Artifact.format, Artifact.uri)
    ).all()
    return [_file_name(one.id, one.format) for one in earlier if one.uri is not None and one.format in SUFFIXES]


def _row(folder: Storage, attempt: Attempt, left: _Left) -> Artifact:
    value = left.value
    return Artifact(
        id=left.id,
        pipeline_id=attempt.pipeline_id,
        pipeline_version=attempt.pipeline_version,
        run_id=attempt.run_id,
        stage=attempt.stage,
        attempt=attempt.number,
        is_result=left.is_result,
        name=storable(left.name)[:LONGEST_NAME],
        type=left.type,
        storage=storage_word(folder.url),
        format=value.format,
        size=value.size,
        sha256=value.sha256,
        type_name=storable(value.type_name)[:LONGEST_TYPE_NAME],
        uri=folder.locate(_file_name(left.id, value.format)) if value.path is not None else None,
        details=details_of(left.type, value, left.metadata),
        preview=storable(dict(value.preview)),
    )


@contextmanager
def _stored(folder: Storage, left: Sequence[_Left]) -> Iterator[None]:
    """The files in the storage; out of it again if the block raises."""
    files = [(_file_name(one.id, one.value.format), one.value.path) for one in left if one.value.path is not None]
    begun = []
    try:
        for name, path in files:
            begun.append(name)
            _store(folder, name, path)
        if files and folder.folder is not None:
            _sync(folder.folder)
        yield
    except BaseException:
        for name in begun:
            with suppress(StorageError):
                folder.remove(name)
        raise


def _store(folder: Storage, name: str, path: Path) -> None:
    if folder.folder is None:
        folder.write_file(name, path)
        return
    target = folder.folder / name
    with told(target):
        # Not for other users: stages of other runs are such users.
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(path)
        with suppress(OSError):  # another file system, or one without links
            os.link(path, target, follow_symlinks=False)
            return
    folder.write_file(name, path)
    target.chmod(0o600)


def _sync(path: Path) -> None:
    """See to it that a file or a folder survives a power cut, as its row will."""
    with told(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
