"""Files under one storage root: a folder of this machine or a prefix of an object store, by URL.

Add here what every capability needs of single files: atomic writes, hashes, errors that name path and cause.
Keep out what the files mean, and whole folders (`folders`). A reader never sees half a file: local files are
renamed into place, and object stores show an upload only once it is complete. Names that come from outside
pass `safe_name` before they touch a path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mlops_assets.storage import remote
from mlops_assets.storage.errors import MissingFileError as MissingFileError
from mlops_assets.storage.errors import StorageError as StorageError
from mlops_assets.storage.errors import told as told

if TYPE_CHECKING:
    from upath import UPath

LONGEST_NAME = 200
BLOCK = 1 << 20
PARTIAL = ".partial"

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*")


def safe_name(name: str) -> str:
    """The name itself if it can be one part of a path: letters, digits, `_.=-`, no dot first, 200 at most."""
    shown = repr(name if len(name) <= 60 else name[:60] + "…")
    if not name:
        raise StorageError("a file name is empty")
    if len(name) > LONGEST_NAME:
        raise StorageError(f"file name {shown} has {len(name)} characters; {LONGEST_NAME} at most")
    if not _SAFE.fullmatch(name):
        raise StorageError(
            f"file name {shown} can't be used: only letters, digits and _ . = - are allowed, and no dot first"
        )
    return name


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a local file, read in blocks."""
    with told(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` when the block ends, and leaves no trace if it raises.

    Written beside its target, synced, renamed, and the folder synced: after a power cut the old or the new
    file is there, whole. An OSError raised in the block is told as one of this file's.
    """
    partial = path.parent / f".{secrets.token_hex(8)}{PARTIAL}"
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with told(path):
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Storage:
    """A folder or prefix and the files right under it; `at` goes deeper. Opens nothing until it is used.

    `url` is a path, `file:///…` or an object store's: `s3://bucket/prefix`, `gs://bucket/prefix`,
    `abfs://container/prefix`; `options` are its fsspec storage options (endpoint_url, key, secret, …), and the cloud's
    own variables stand in for absent ones. Holds no connection: safe to fork.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if remote.store_of(self.url) is not None:
            remote.key_of(self.url)
        elif (scheme := remote.scheme_of(self.url)) not in ("", "file"):
            raise StorageError(f"storage {scheme}://…: only a path, file://, {remote.KNOWN} are known")

    @property
    def folder(self) -> Path | None:
        """The local folder, or None when the root is in an object store."""
        if remote.store_of(self.url) is not None:
            return None
        local = unquote(urlsplit(self.url).path) if remote.scheme_of(self.url) else self.url
        return Path(local).expanduser().absolute()

    @property
    def root(self) -> UPath:
        """The root for code that wants a path object, with the time limits of every other access."""
        from upath import UPath

        if self.folder is not None:
            return UPath(self.folder)
        fs, key = self._remote()
        # fsspec gives back the file system that was made with these options.
        return UPath(
            key, protocol=fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0], **fs.storage_options
        )

    def at(self, *names: str) -> Storage:
        """The root one or more folders down; each name is checked."""
        return Storage("/".join([self.url.rstrip("/"), *map(safe_name, names)]), self.options)

    def locate(self, name: str) -> str:
        """Full path or URL of a file, for people and metadata."""
        return f"{self.folder or self.url.rstrip('/')}/{safe_name(name)}"

    def _remote(self, name: str = "") -> tuple[Any, str]:
        prefix = remote.key_of(self.url)
        return remote.filesystem(self.url, self.options), f"{prefix}/{safe_name(name)}" if name else prefix

    def exists(self, name: str) -> bool:
        """Whether the file is there, whole."""
        with told(self.locate(name)):
            if self.folder is not None:
                return (self.folder / name).is_file()
            fs, key = self._remote(name)
            try:
                return bool(fs.info(key)["type"] == "file")
            # Who may not list a bucket of S3's is refused what isn't there.
            except (FileNotFoundError, PermissionError):
                return False

    def names(self) -> tuple[str, ...]:
        """Sorted names of the files and folders right under the root; files in the making are left out."""
        with told(self.url):
            if self.folder is not None:
                found = [p.name for p in self.folder.iterdir()] if self.folder.is_dir() else []
            else:
                fs, prefix = self._remote()
                try:
                    keys = [k.rstrip("/") for k in fs.ls(prefix, detail=False)]
                    # Some stores list an empty folder in itself.
                    found = [k.rsplit("/", 1)[-1] for k in keys if k != prefix]
                except FileNotFoundError:  # an object store has no empty folders
                    found = []
        return tuple(sorted(n for n in found if n and not n.startswith(".")))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write or replace a file in one step; an object store gets a single PUT up to 100 MB."""
        if self.folder is not None:
            with atomic_file(self.folder / safe_name(name)) as file:
                file.write(data)
            return
        self._send(name, lambda fs, key: fs.pipe_file(key, data))

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as sorted, indented JSON; NaN and infinity are refused."""
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.write_bytes(name, text.encode())

    def write_file(self, name: str, local: Path) -> None:
        """Copy a local file here."""
        if self.folder is not None:
            with told(local), local.open("rb") as source, atomic_file(self.folder / safe_name(name)) as file:
                shutil.copyfileobj(source, file, BLOCK)
            return
        if not local.is_file():
            raise MissingFileError(f"{local}: there is no such file")
        self._send(name, lambda fs, key: fs.put_file(str(local), key))

    def _send(self, name: str, send: Callable[[Any, str], object]) -> None:
        with told(self.locate(name)):
            fs, key = self._remote(name)
            try:
                send(fs, key)
            except FileNotFoundError as error:
                raise StorageError(f"{self.locate(name)}: there is no such bucket or container") from error

    def read_bytes(self, name: str) -> bytes:
        """The whole file."""
        with told(self.locate(name)):
            if self.folder is not None:
                return (self.folder / name).read_bytes()
            fs, key = self._remote(name)
            return bytes(fs.cat_file(key))

    def read_json(self, name: str) -> Any:
        """The value of a JSON file."""
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise StorageError(f"{self.locate(name)}: not JSON: {error}") from error

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens when it isn't there."""
        with told(self.locate(name)):
            if self.folder is not None:
                (self.folder / safe_name(name)).unlink(missing_ok=True)
                return
            fs, key = self._remote(name)
            with suppress(FileNotFoundError):
                fs.rm_file(key)

    @contextmanager
    def _opened(self, name: str) -> Iterator[BufferedReader]:
        with told(self.locate(name)):
            if self.folder is not None:
                file: BufferedReader = (self.folder / name).open("rb")
            else:
                fs, key = self._remote(name)
                file = fs.open(key, "rb", cache_type="readahead", block_size=8 * BLOCK)
            with file:
                yield file

    def read_file(self, name: str, into: Path) -> None:
        """Copy a file from here to a local path, which appears whole or not at all."""
        with self._opened(name) as source, atomic_file(into) as file:
            shutil.copyfileobj(source, file, BLOCK)

    def sha256(self, name: str) -> str:
        """Hexadecimal SHA-256 of a file's bytes."""
        with self._opened(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
