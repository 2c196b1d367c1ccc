"""The bytes of a kept file, wherever it is, and what it is called when somebody downloads it.

Add here what every reader of whole files needs. Keep out what the bytes mean (`previews`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from mlops_assets.pipelines.artifacts import place_of
from mlops_assets.sandbox.values import SUFFIXES
from mlops_assets.storage.files import BLOCK, StorageError, told

if TYPE_CHECKING:
    from mlops_assets.storage.files import Storage
    from mlops_assets.storage.pipeline_tables import Artifact

READ_AHEAD = 4 * BLOCK
LONGEST_STEM = 120
# What stages write as text or bytes keeps the ending that they gave it.
_FREE = ("text", "bytes")
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}$")
_PARTS_OF_PATHS = re.compile(r'[/\\:*?"<>|]')
_MEDIA = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.file",
}
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    **dict.fromkeys((b"GIF87a", b"GIF89a"), "image/gif"),
}
MAGIC_BYTES = 12


class DamagedError(StorageError):
    """A kept file isn't what was kept."""


@contextmanager
def opened(storage: Storage, artifact: Artifact) -> Iterator[IO[bytes]]:
    """The file of an artifact, to be read from its beginning.

    Raises MissingFileError, DamagedError for one of another size than was kept, StorageError.
    """
    folder, name = place_of(storage, artifact)
    where = folder.locate(name)
    with told(where):
        path = folder.root / name
        size = path.stat().st_size
        if size != artifact.size:
            raise DamagedError(f"{where}: has {size} bytes, but {artifact.size} were kept")
        options: dict[str, Any] = (
            {} if folder.folder is not None else {"cache_type": "readahead", "block_size": READ_AHEAD}
        )
        with path.open("rb", **options) as file:
            yield file


def blocks(storage: Storage, artifact: Artifact) -> Iterator[bytes]:
    """The file in blocks; the first thing it gives is empty, and tells that the file is there. Raises as `opened`."""
    with opened(storage, artifact) as file:
        yield b""
        while block := file.read(BLOCK):
            yield block


def beginning(storage: Storage, artifact: Artifact, size: int) -> bytes:
    """The first bytes of the file. Raises as `opened`."""
    with opened(storage, artifact) as file:
        return file.read(size)


def image_type(head: bytes) -> str | None:
    """The media type of an image that browsers draw and that can't hold scripts, proven by its first bytes."""
    if head[:4] == b"RIFF" and head[8:MAGIC_BYTES] == b"WEBP":
        return "image/webp"
    return next((media for magic, media in _IMAGES.items() if head.startswith(magic)), None)


def media_type(artifact: Artifact) -> str:
    """What the content is sent as: nothing that a browser would run or draw."""
    return _MEDIA.get(artifact.format, "application/octet-stream")


def file_name(artifact: Artifact) -> str:
    """The artifact's name as one that every system takes, with an ending that fits the format."""
    suffix = f".{SUFFIXES.get(artifact.format, 'bin')}"  # type: ignore[call-overload]
    plain = "".join("_" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in artifact.name)
    plain = _PARTS_OF_PATHS.sub("_", plain).strip(" .")
    ending = _ENDING.search(plain)
    if ending is not None and (artifact.format in _FREE or ending.group() == suffix):
        plain, suffix = plain[: ending.start()], ending.group()
    return f"{plain[:LONGEST_STEM].rstrip(' .') or 'artifact'}{suffix}"


def disposition(name: str) -> str:
    """`Content-Disposition` of a download: the name itself (RFC 5987), and its ASCII for those who can't read it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    known = re.sub(r"[^A-Za-z0-9._ -]", "_", plain)
    if known.startswith(".") or not known:
        known = f"artifact{known}"
    return f"attachment; filename=\"{known}\"; filename*=UTF-8''{quote(name, safe='')}"
