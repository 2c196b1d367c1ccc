"""Whole folders in and out of a storage root: published with the manifest last, fetched to appear at once.

Add here what moves a folder of files as one thing. Keep out single files (`files`). A prefix without its
manifest is no folder yet: a publication that was killed, which the next one of the same name completes.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from mlops_assets.storage.files import PARTIAL, MissingFileError, Storage, StorageError, safe_name


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
        _fetch(storage, partial)
        os.rename(partial, into)
    except OSError as error:
        raise StorageError(f"{into}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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


def _fetch(storage: Storage, into: Path) -> None:
    for name in storage.names():
        target = into / safe_name(name)
        if storage.exists(name):
            storage.read_file(name, target)
        else:
            _fetch(storage.at(name), target)
