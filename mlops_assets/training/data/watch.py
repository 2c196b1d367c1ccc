"""Looking at a product's source for content that was never trained on, cheaply and without being fooled.

A change is first seen by its outside (time and size, ETag), and only then fetched and hashed. Keep out what a
change leads to: that is the sensor in `automation`.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlops_assets.storage import remote
from mlops_assets.storage.database import Database
from mlops_assets.storage.errors import of_a_store, said
from mlops_assets.storage.files import Storage, StorageError
from mlops_assets.training.data import live_labels, sources
from mlops_assets.training.data.raw_file import SourceError
from mlops_assets.training.data.versions import DatasetVersions
from mlops_assets.training.spec import Product

if TYPE_CHECKING:
    import httpx

# A file that is still being copied changes within seconds.
SETTLED_SECONDS = 3.0
# A sensor's evaluation is cut off by Dagster after a minute.
FETCH_SECONDS = 40.0
ASK_SECONDS = 10.0


@dataclass(frozen=True)
class Seen:
    """What was seen: `run_key` names a content to train on, None if there is none; `said` is for a person."""

    run_key: str | None
    cursor: str | None
    said: str


def look(product: Product, location: str, cursor: str | None, database: Database) -> Seen:
    """Compare the source with the last look (`cursor`) and, if it changed, with every known data version."""
    shown = sources.redacted(location)
    try:
        outside = fingerprint(location)
    except (SourceError, StorageError) as error:
        return Seen(None, cursor, str(error))
    if outside is None:
        return Seen(None, cursor, f"{shown} is being written to; looking again")
    if outside == cursor:
        return Seen(None, cursor, f"{shown} is unchanged")
    limited = product.source.model_copy(update={"timeout_seconds": min(product.source.timeout_seconds, FETCH_SECONDS)})
    try:
        with tempfile.TemporaryDirectory(prefix="mlops-") as folder:
            sha256 = sources.fetch(limited, Path(folder), location).sha256
    except (SourceError, StorageError) as error:
        return Seen(None, cursor, str(error))
    for record in DatasetVersions(database, Storage(tempfile.gettempdir())).list(product.name):
        if record.sha256 == sha256:
            return Seen(None, outside, f"{shown} holds data version V{record.version}, which is known")
    # With labels in its file, the version's hash isn't the source's.
    labelled = live_labels.version_with(database, product.name, sha256) if product.source.live_labels else None
    if labelled is not None:
        return Seen(None, outside, f"{shown} is in data version V{labelled} with live labels, which is known")
    return Seen(f"{product.name}-{sha256}", outside, f"{shown} holds new content {sha256[:12]}")


def fingerprint(location: str) -> str | None:
    """What the outside of a source tells of its content; None while a local file is still being written.

    Raises SourceError or StorageError when the source can't be looked at.
    """
    scheme = location.split("://", 1)[0].lower() if "://" in location else "file"
    if scheme in ("http", "https"):
        return _of_url(location)
    if remote.store_of(location) is not None:
        return _of_object(location)
    path = Path(unquote(urlsplit(location).path) if "://" in location else location).expanduser()
    try:
        state = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    # A time in the future comes from another clock and says nothing about writing.
    if 0 <= time.time() - state.st_mtime < SETTLED_SECONDS:
        return None
    return f"{location} {state.st_ino} {state.st_size} {state.st_mtime_ns}"


def _of_url(location: str) -> str:
    import fsspec.asyn
    import httpx
    from fsspec.exceptions import FSTimeoutError

    shown = sources.redacted(location)
    try:
        with sources.urls_kept_out_of_logs():
            # A limit for each read doesn't end an answer that drips.
            headers = fsspec.asyn.sync(fsspec.asyn.get_loop(), _ask, location, timeout=ASK_SECONDS)
    except FSTimeoutError:
        raise SourceError(f"{shown}: no whole answer after {ASK_SECONDS:g} s", transient=True) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{shown}: can't be reached: {type(error).__name__}") from None
    told = [headers.get(name, "") for name in ("etag", "last-modified", "content-length")]
    # A server that tells nothing is fetched at each look; its content decides.
    return " ".join([shown, *told]) if any(told) else f"{shown} {time.time_ns()}"


async def _ask(location: str) -> httpx.Headers:
    import httpx

    async with httpx.AsyncClient(timeout=ASK_SECONDS, follow_redirects=True) as client:
        return (await client.head(location)).headers


def _of_object(location: str) -> str:
    try:
        facts = remote.filesystem(location, {}).info(remote.key_of(location))
    except Exception as error:
        if isinstance(error, StorageError) or not (isinstance(error, OSError) or of_a_store(error)):
            raise
        raise SourceError(f"{sources.redacted(location)}: can't be looked at: {said(error)}") from error
    return f"{location} {remote.version_of(facts)}"
