"""Object stores by URL: which are known, and how each is asked.

Add a store here: everything else asks these functions and knows no scheme. Each store's library is imported when
it is used; Amazon's comes with the platform, the others' with an extra of the same name. Each takes credentials
from its cloud's own variables. Keep out what is asked (`files`), and each store's limits (`s3`, `gcs`, `azure`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from mlops_assets.storage import azure
from mlops_assets.storage.azure import azure_filesystem, place_of
from mlops_assets.storage.errors import ChangedError, StorageError
from mlops_assets.storage.gcs import gcs_filesystem
from mlops_assets.storage.s3 import s3_filesystem

KNOWN = "s3://, gs://, abfs:// and abfss://"
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_BLOCK = 8 << 20


class Store(StrEnum):
    """A kind of object store, as the API names it."""

    S3 = "S3"
    GCS = "GCS"
    AZURE = "AZURE"


_STORES = {"s3": Store.S3, "gs": Store.GCS, "abfs": Store.AZURE, "abfss": Store.AZURE}
_FORMS = {
    Store.S3: "s3://bucket/key, with credentials in AWS_* variables",
    Store.GCS: "gs://bucket/key, with credentials in GOOGLE_APPLICATION_CREDENTIALS",
    Store.AZURE: azure.FORM,
}


def scheme_of(location: str) -> str:
    """The scheme of a URL in small letters; empty for a path."""
    found = _URL.match(location)
    return found[1].lower() if found else ""


def store_of(location: str) -> Store | None:
    """The kind of object store that a URL is in; None for paths and every other URL."""
    return _STORES.get(scheme_of(location))


def key_of(url: str) -> str:
    """`bucket/prefix` of an object store's URL, as its file system names it. Raises StorageError for another form."""
    bucket, _, path = url.partition("://")[2].partition("/")
    if store_of(url) is Store.AZURE:
        bucket = place_of(url).container
    if not bucket or "@" in bucket:
        raise StorageError(f"storage {scheme_of(url)}://…: write {form_of(url)}")
    return f"{bucket}/{path}".rstrip("/")


def form_of(url: str) -> str:
    """How a URL of the same store is written, and where its credentials go."""
    return _FORMS[_STORES[scheme_of(url)]]


def names_no_user(url: str) -> bool:
    """Whether what is before the @ of a URL is a container of Azure's, and no credential."""
    try:
        return store_of(url) is Store.AZURE and bool(place_of(url))
    except StorageError:
        return False


def filesystem(url: str, options: Mapping[str, Any]) -> Any:
    """The fsspec file system that holds an object store's URL, with its limits; the same one for the same options.

    Raises StorageError when its library isn't installed, or the store isn't told well enough.
    """
    store = store_of(url)
    try:
        if store is Store.S3:
            return s3_filesystem(options)
        return gcs_filesystem(options) if store is Store.GCS else azure_filesystem(url, options)
    except ImportError as error:
        library = (error.name or str(error)).partition(".")[0]
        raise StorageError(
            f"{url}: {library} is not installed; pip install 'mlops-assets[{str(store).lower()}]'"
        ) from error


def version_of(facts: Mapping[str, Any]) -> str:
    """What the facts of an object (fsspec's `info`) tell of its content: its tag, size and time."""
    time = facts.get("LastModified") or facts.get("last_modified") or facts.get("updated") or ""
    return f"{facts.get('ETag') or facts.get('etag') or ''} {facts.get('size', '')} {time}"


def written_at(facts: Mapping[str, Any]) -> datetime | None:
    """When an object was written, by its facts; None if the store doesn't tell."""
    time = facts.get("LastModified") or facts.get("last_modified") or facts.get("mtime")
    return time if isinstance(time, datetime) else None


async def blocks(url: str, options: Mapping[str, Any]) -> AsyncIterator[tuple[bytes, int]]:
    """The object's content, each block with the size of the whole, all of one version.

    To be run on fsspec's own loop. Raises what the store's library does, StorageError, and ChangedError.
    """
    fs, key = filesystem(url, options), key_of(url)
    if store_of(url) is Store.S3:
        # One GET, whose answer is one version.
        stream = await fs.open_async(key)
        while block := await stream.read(_BLOCK):
            yield block, stream.size
        return
    facts = await fs._info(key)
    size = int(facts["size"] or 0)
    for start in range(0, size, _BLOCK):
        yield await fs._cat_file(key, start=start, end=min(start + _BLOCK, size)), size
    if version_of(await fs._info(key)) != version_of(facts):
        raise ChangedError(f"{url} changed while it was being copied; fetch it again")
