"""The files of a backup: copied with their hashes from the storage root and the installation's folder, and back.

Keep out the database (`database`) and the order of things. A file that is removed while it is copied, by a retention at
work, is left out: what the database still tells of it is told by a restore.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any

from mlops_assets.backup.record import HOME_FOLDER, HOME_FOLDERS, STORAGE_FOLDER, BackupError, File
from mlops_assets.settings import Settings
from mlops_assets.storage.files import PARTIAL, Storage, atomic_file, told

BLOCK = 1 << 20
AT_ONCE = 4
JOURNAL = "journal"
# How each file is opened, by its name in the backup.
Sources = dict[str, Callable[[], Any]]


def unshipped(settings: Settings) -> Sources:
    """What services have answered and the database may not hold yet."""
    return _home_files(settings, [JOURNAL])


def stored(settings: Settings) -> Sources:
    """Every other file that belongs to a backup."""
    return _home_files(settings, [name for name in HOME_FOLDERS if name != JOURNAL]) | in_storage(settings)


def in_storage(settings: Settings) -> Sources:
    """Every file below the storage root. Raises StorageError."""
    storage = Storage(settings.storage)
    if storage.folder is not None:
        local = ((path.relative_to(storage.folder).as_posix(), path) for path in _below(storage.folder))
        return {f"{STORAGE_FOLDER}/{name}": partial(path.open, "rb") for name, path in local}
    root = storage.root
    with told(storage.url):
        keys = root.fs.find(root.path)
    below = {str(PurePosixPath(key).relative_to(root.path)): key for key in keys}
    return {f"{STORAGE_FOLDER}/{name}": partial(root.fs.open, key, "rb") for name, key in below.items()}


def present(settings: Settings) -> list[str]:
    """Names of the files that a restore would write beside; nothing is opened."""
    return sorted(unshipped(settings) | stored(settings))


def copied(sources: Sources, into: Path) -> dict[str, File]:
    """Copy files below a folder; what they were. Raises StorageError."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda name: (name, _copy(sources[name], into / name)), sources)
        return {name: file for name, file in found if file is not None}


def changed(folder: Path, files: dict[str, File]) -> list[str]:
    """What isn't in the folder as it was recorded: names with what is wrong."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [said for said in pool.map(lambda name: _difference(folder / name, name, files[name]), files) if said]


def put_back(folder: Path, settings: Settings, files: dict[str, File]) -> None:
    """Copy a backup's files to where this installation has them. Safe to repeat. Raises StorageError."""
    storage = Storage(settings.storage)

    def put(name: str) -> None:
        part, *rest = PurePosixPath(name).parts
        if part == HOME_FOLDER:
            _put_local(folder / name, settings.home.joinpath(*rest), files[name].mode)
        elif part == STORAGE_FOLDER and storage.folder is not None:
            _put_local(folder / name, storage.folder.joinpath(*rest), files[name].mode)
        elif part == STORAGE_FOLDER:
            storage.root.joinpath(*rest).fs.put_file(str(folder / name), storage.root.joinpath(*rest).path)

    with ThreadPoolExecutor(AT_ONCE) as pool, told(settings.storage):
        list(pool.map(put, files))


def _home_files(settings: Settings, folders: Iterable[str]) -> Sources:
    found: Sources = {}
    for folder in folders:
        for path in _below(settings.home / folder):
            found[f"{HOME_FOLDER}/{path.relative_to(settings.home).as_posix()}"] = partial(path.open, "rb")
    return found


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.endswith(PARTIAL):
            yield path


def _copy(opened: Callable[[], Any], into: Path) -> File | None:
    digest, size = hashlib.sha256(), 0
    try:
        source = opened()
    except FileNotFoundError:
        return None
    with source, told(into):
        into.parent.mkdir(parents=True, exist_ok=True)
        with into.open("xb") as file:
            while block := source.read(BLOCK):
                digest.update(block)
                size += len(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        mode = os.fstat(source.fileno()).st_mode & 0o777 if isinstance(source, BufferedReader) else 0o600
    return File(bytes=size, sha256=digest.hexdigest(), mode=mode)


def _difference(path: Path, name: str, file: File) -> str | None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise BackupError(f"{name!r} leads out of the backup")
    try:
        with path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return f"{name}: {error.strerror}"
    return None if digest == file.sha256 else f"{name}: other content than when it was saved"


def _put_local(source: Path, target: Path, mode: int) -> None:
    with source.open("rb") as opened, atomic_file(target) as file:
        os.fchmod(file.fileno(), mode)
        shutil.copyfileobj(opened, file, BLOCK)
