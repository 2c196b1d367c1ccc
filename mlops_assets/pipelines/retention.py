"""Removal by age of what runs have left: files of artifacts, and logs of stages. Rows stay and say that it was.

Add here another kind of file that runs leave. Keep out when it is done. Killed at any moment, it is taken up by the
next call: a file goes before its row says so, and what has no row (its stage was killed before it had one) goes with
its run's folder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, select, tuple_, update

from mlops_assets.pipelines.artifact_facts import storage_word
from mlops_assets.pipelines.artifacts import FOLDER, place_of
from mlops_assets.sandbox.collect import remove_folder
from mlops_assets.storage.files import MissingFileError, StorageError, told
from mlops_assets.storage.pipeline_tables import Artifact

if TYPE_CHECKING:
    from mlops_assets.pipelines.stage_logs import StageLogs
    from mlops_assets.storage.database import Database
    from mlops_assets.storage.files import Storage

BATCH = 500

Going = Callable[[Collection[str]], Collection[str]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Expired:
    """What one call did: artifacts whose file went, their bytes, runs whose logs went, folders and files without rows.

    `failed` is what couldn't be removed now; the log says why.
    """

    artifacts: int = 0
    bytes: int = 0
    logs: int = 0
    strays: int = 0
    failed: int = 0

    def __add__(self, other: Expired) -> Expired:
        return Expired(*(one + two for one, two in zip(vars(self).values(), vars(other).values(), strict=True)))


def expire(
    database: Database, storage: Storage, logs: StageLogs, days: int, *, going: Going, now: datetime | None = None
) -> Expired:
    """Remove what is older than `days`, but nothing of a run that hasn't ended: `going` gives those of some ids.

    Raises ValueError for less than a day, SQLAlchemyError, and whatever `going` raises.
    """
    if days < 1:
        raise ValueError(f"days: files are kept for at least one, not {days}")
    before = (now or datetime.now(UTC)) - timedelta(days=days)
    done = Expired()
    for batch in _old(database, storage, before):
        held = set(going({artifact.run_id for artifact in batch}))
        done += _remove_files(database, storage, [artifact for artifact in batch if artifact.run_id not in held])
    return done + _remove_strays(database, storage, before, going) + _remove_logs(logs.folder, before, going)


def _old(database: Database, storage: Storage, before: datetime) -> Iterator[Sequence[Artifact]]:
    """Artifacts of this storage that are old enough, in batches, oldest first."""
    query = (
        select(Artifact)
        .where(
            Artifact.created_at < before,
            Artifact.uri.is_not(None),
            Artifact.storage == storage_word(storage.url),
        )
        .order_by(Artifact.created_at, Artifact.id)
        .limit(BATCH)
    )
    after = query
    while True:
        with database.session() as session:
            batch = session.scalars(after).all()
        if not batch:
            return
        yield batch
        # What is left of it isn't looked at again.
        after = query.where(tuple_(Artifact.created_at, Artifact.id) > (batch[-1].created_at, batch[-1].id))


def _remove_files(database: Database, storage: Storage, artifacts: Sequence[Artifact]) -> Expired:
    gone: list[Artifact] = []
    for artifact in artifacts:
        try:
            folder, name = place_of(storage, artifact)
            folder.remove(name)
        except StorageError as error:
            log.warning("artifact %s can't be removed: %s", artifact.id, error)
            continue
        gone.append(artifact)
        if folder.folder is not None:
            # The pipeline's own folder stays: a new run may be about to use it.
            _remove_empty(folder.folder, folder.folder.parent)
    with database.session() as session, session.begin():
        ids = [artifact.id for artifact in gone]
        removed = update(Artifact).where(Artifact.id.in_(ids)).values(uri=None, removed_at=func.clock_timestamp())
        session.execute(removed)
    size = sum(artifact.size for artifact in gone)
    return Expired(artifacts=len(gone), bytes=size, failed=len(artifacts) - len(gone))


def _remove_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _remove_strays(database: Database, storage: Storage, before: datetime, going: Going) -> Expired:
    """Files below the folders of runs that no row names."""
    done = Expired()
    root = storage.at(FOLDER)
    for pipeline in _names(root):
        runs = set(_names(root.at(pipeline)))
        with database.session() as session:
            named = select(Artifact.run_id).where(Artifact.run_id.in_(runs), Artifact.uri.is_not(None))
            runs -= set(session.scalars(named.distinct()))
        for run in sorted(runs - set(going(runs))):
            try:
                done += _remove_run(root.at(pipeline, run), before)
            except (OSError, StorageError) as error:
                log.warning("what is left of run %s can't be removed: %s", run, error)
                done += Expired(failed=1)
    return done


def _remove_run(run: Storage, before: datetime) -> Expired:
    if run.folder is not None:
        return Expired(strays=1) if _remove_old_folder(run.folder, before) else Expired()
    done = Expired()
    for stage in run.names():
        folder = run.at(stage)
        for name in folder.names():
            # Some stores keep empty folders, and list them in themselves.
            with suppress(MissingFileError), told(folder.locate(name)):
                if (folder.root / name).stat().st_mtime < before.timestamp():
                    folder.remove(name)
                    done += Expired(strays=1)
    return done


def _remove_logs(folder: Path, before: datetime, going: Going) -> Expired:
    runs = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    held = set(going(set(runs))) if runs else set()
    done = Expired()
    for name, path in sorted(runs.items()):
        if name in held:
            continue
        try:
            done += Expired(logs=1) if _remove_old_folder(path, before) else Expired()
        except OSError as error:
            log.warning("the logs of run %s can't be removed: %s", name, error)
            done += Expired(failed=1)
    return done


def _remove_old_folder(folder: Path, before: datetime) -> bool:
    """Remove a folder if nothing in it was written since; whether that was so."""
    newest = max((path.lstat().st_mtime for path in (folder, *folder.rglob("*"))), default=0.0)
    if newest >= before.timestamp():
        return False
    remove_folder(folder)
    return True


def _names(storage: Storage) -> tuple[str, ...]:
    try:
        return storage.names()
    except StorageError as error:
        log.warning("%s can't be listed: %s", storage.url, error)
        return ()
