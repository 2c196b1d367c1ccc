"""Whole folders in and out of a storage root: published with the manifest last, fetched to appear at once.

Add here what moves a folder of files as one thing. Keep out single files (`files`). A prefix without its
manifest is no folder yet: a publication that was killed, which the next one of the same name completes.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from mlops_assets.storage import remote
from mlops_assets.storage.files import PARTIAL, MissingFileError, Storage, StorageError, safe_name, told


def publish_folder(local: Path, storage: Storage, *, manifest: str) -> None:
    """Copy every file under `local` to `storage`, the manifest last, so that seeing it means all are there.

    What is published never changes: publishing the same manifest again does nothing, another one is refused.
    """
    files = _files(local)
    if manifest not in files:
        raise MissingFileError(f"{local}: its manifest {manifest} is not there")
    if storage.exists(manifest):
        if storage.read_bytes(manifest) != (local / manifest).read_bytes():
            raise StorageError(f"{storage.locate(manifest)} is already published with other content")
        return
    for name in [n for n in files if n != manifest] + [manifest]:
        *folders, last = name.split("/")
        storage.at(*folders).write_file(last, local / name)


def fetch_folder(storage: Storage, into: Path, *, manifest: str) -> None:
    """Copy a published folder to a local one that must not exist yet and appears only complete."""
    if not storage.exists(manifest):
        raise MissingFileError(f"{storage.locate(manifest)} is not there: nothing complete is published")
    if into.exists():
        raise StorageError(f"{into} already exists")
    partial = into.parent / f".{secrets.token_hex(8)}{PARTIAL}"
    try:
        fetch_files(storage, partial)
        os.rename(partial, into)
    except OSError as error:
        raise StorageError(f"{into}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def last_written(storage: Storage) -> datetime | None:
    """When the newest file of a folder, and of those in it, was written; None when there are none."""
    if storage.folder is not None:
        times = [path.stat().st_mtime for path in storage.folder.rglob("*") if path.is_file()]
        return datetime.fromtimestamp(max(times), UTC) if times else None
    with told(storage.url):
        fs, prefix = remote.filesystem(storage.url, storage.options), remote.key_of(storage.url)
        written = [remote.written_at(facts) for facts in fs.find(prefix, detail=True).values()]
    return max(filter(None, written), default=None)


def remove_files(storage: Storage) -> None:
    """Remove a folder with all that is in it; nothing happens when it isn't there."""
    with told(storage.url), suppress(FileNotFoundError):
        if storage.folder is not None:
            shutil.rmtree(storage.folder)
            return
        fs, prefix = remote.filesystem(storage.url, storage.options), remote.key_of(storage.url)
        fs.rm(prefix, recursive=True)


def _files(local: Path) -> list[str]:
    """Sorted relative names of the files under a folder; a link could point anywhere, so none is followed."""
    found = []
    for path in sorted(local.rglob("*")):
        name = path.relative_to(local).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise StorageError(f"{path}: only plain files and folders are published")
        if path.is_file():
            for part in name.split("/"):
                safe_name(part)
            found.append(name)
    return found


def fetch_files(storage: Storage, into: Path) -> None:
    """Copy every file of a folder, and of those in it, to a local one, which isn't made when there are none."""
    for name in storage.names():
        target = into / safe_name(name)
        if storage.exists(name):
            storage.read_file(name, target)
        else:
            fetch_files(storage.at(name), target)
