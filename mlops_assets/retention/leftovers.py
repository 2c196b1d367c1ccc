"""What was begun and never finished, or replaced by something newer, and that nobody looks for any more.

Add here another kind of leftover, with why nothing refers to it. Keep out anything that a table or record names.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import select

from mlops_assets.batch.files import FOLDER as SCORES
from mlops_assets.retention.round import Round, Swept
from mlops_assets.retention.run_files import products, remove_file, remove_old_folder
from mlops_assets.sandbox.collect import remove_folder
from mlops_assets.storage.database import Release, ScoredMonth
from mlops_assets.storage.files import PARTIAL, Storage, StorageError

# Of what was never finished: longer than anything is tried again.
LEFT_DAYS = 30
PARTIAL_DAYS = 2
_COMMIT = re.compile(r"[0-9a-f]{40}")

log = logging.getLogger(__name__)


def partial_files(work: Round) -> Swept:
    """Files that a killed process was writing. An object store shows no such files."""
    root = work.storage.folder
    done = Swept()
    for place, _, names in os.walk(root) if root is not None else ():
        for name in names:
            if name.endswith(PARTIAL):
                done += _remove_partial(work, Path(place, name))
        if work.over:
            return done + Swept(unfinished=True)
    return done


def _remove_partial(work: Round, path: Path) -> Swept:
    try:
        facts = path.lstat()
        if facts.st_mtime >= work.before(PARTIAL_DAYS).timestamp():
            return Swept()
        if work.apply:
            path.unlink()
    except FileNotFoundError:
        return Swept()
    except OSError as error:
        log.warning("%s can't be removed: %s", path, error)
        return Swept(failed=1)
    return Swept(removed=1, bytes=facts.st_size)


def unpublished_releases(work: Round) -> Swept:
    """Files of releases that a run reserved and never published. The rows stay: no number is given twice."""
    reserved = select(Release.product, Release.version).where(
        Release.uri.is_(None), Release.created_at < work.before(LEFT_DAYS)
    )
    with work.database.session() as session:
        found = session.execute(reserved.order_by(Release.product, Release.version)).all()
    done = Swept()
    for product, version in found:
        for kind in ("releases", "references", "bentos"):
            folder = work.storage.at(product, kind, str(version))
            if folder.folder is None:
                for inside, name in _files(folder):
                    done += remove_file(work, inside, name, LEFT_DAYS)
            elif folder.folder.is_dir():
                done += remove_old_folder(work, folder.folder, LEFT_DAYS)
        if work.over:
            return done + Swept(unfinished=True)
    return done


def replaced_scores(work: Round) -> Swept:
    """Files of months that were scored again: the table names the newest."""
    done = Swept()
    for product in products(work.storage):
        with work.database.session() as session:
            named = set(session.scalars(select(ScoredMonth.file).where(ScoredMonth.product == product)))
        root = work.storage.at(product, SCORES)
        for folder, name in _files(root):
            below = f"{folder.url.removeprefix(root.url)}/{name}".removeprefix("/")
            if name.endswith(".parquet") and below not in named:
                done += remove_file(work, folder, name, LEFT_DAYS)
            if work.over:
                return done + Swept(unfinished=True)
    return done


def _files(folder: Storage) -> Iterator[tuple[Storage, str]]:
    """Every file below a folder: the folder it is in, and its name."""
    try:
        names = folder.names()
        for name in names:
            if folder.exists(name):
                yield folder, name
            else:
                yield from _files(folder.at(name))
    except StorageError as error:
        log.warning("%s can't be listed: %s", folder.url, error)


def checkouts(work: Round) -> Swept:
    """Code of commits that no stage has used for `MLOPS_CHECKOUT_DAYS`; it is fetched again when one does."""
    done = Swept()
    folder = work.settings.repositories
    for path in sorted(folder.glob("*/*")) if folder.is_dir() else ():
        if _COMMIT.fullmatch(path.name):
            done += _checkout(work, path)
        if work.over:
            return done + Swept(unfinished=True)
    return done + _begun_checkouts(work)


def _checkout(work: Round, path: Path) -> Swept:
    try:
        # Whoever uses it has this lock, and says so by the folder's time.
        with path.with_name(f"{path.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_mtime >= work.before(work.settings.checkout_days).timestamp():
                return Swept()
            size = sum(found.lstat().st_size for found in path.rglob("*"))
            if work.apply:
                # Whole or gone: what is left of it after a kill is removed by the next fetch, or below.
                going = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
                path.rename(going)
                remove_folder(going)
    except BlockingIOError:
        return Swept()
    except OSError as error:
        log.warning("%s can't be removed: %s", path, error)
        return Swept(failed=1)
    return Swept(removed=1, bytes=size)


def _begun_checkouts(work: Round) -> Swept:
    """Folders of fetches and removals that were killed."""
    folder = work.settings.repositories
    done = Swept()
    for path in sorted(folder.glob("*/.*")) if folder.is_dir() else ():
        if path.is_dir():
            done += remove_old_folder(work, path, PARTIAL_DAYS)
    return done
