"""Getting a product's raw file: from a path, an http(s) URL, an object store, or the product's sample generator.

Add a kind of source here. Keep out reading the rows (`csv_file`) and numbering contents (`versions`).
Whatever the source does, fetching ends within its limits of time and size, leaves a whole file or none, and
prints no credentials: a location is shown without user information and query.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from mlops_assets.storage import remote
from mlops_assets.storage.errors import ChangedError, StorageError, of_a_store, said
from mlops_assets.storage.files import atomic_file
from mlops_assets.training.data.raw_file import BLOCK, MEGABYTE, RawFile, SourceError
from mlops_assets.training.data.spec import Source

if TYPE_CHECKING:
    import httpx
    import pandas as pd

RAW_NAME = "raw.csv"
MAX_REDIRECTS = 5
CONNECT_SECONDS = 10.0
MEANING_OF_STATUS = {
    401: "it asks for credentials",
    403: "access is refused",
    404: "there is no such file",
    410: "the file is gone",
    429: "too many requests",
}


@dataclass(frozen=True)
class Fetched:
    """One raw file on this machine: `sha256` and `bytes` are of the unpacked content that was kept at `path`.

    `location` and `description` carry no credentials and may be shown; `sample` marks generated rows.
    """

    path: Path
    sha256: str
    bytes: int
    location: str
    description: str
    sample: bool = False


def redacted(location: str) -> str:
    """A location that may be shown: user information, query and fragment of a URL are replaced by `***`."""
    if "://" not in location:
        return location
    try:
        parts = urlsplit(location)
    except ValueError:
        return location.split("://", 1)[0] + "://***"
    host = parts.netloc.rpartition("@")[2]
    user = "***@" if "@" in parts.netloc else ""
    if remote.names_no_user(location):
        user, host = "", parts.netloc
    return f"{parts.scheme}://{user}{host}{parts.path}" + ("?***" if parts.query or parts.fragment else "")


def fetch(
    source: Source,
    into: Path,
    override: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> Fetched:
    """Copy the raw file of `override`, or else of the source's location, to `raw.csv` in the folder `into`.

    `storage_options` are fsspec's, for object stores. A gzip file is unpacked, whatever its name.
    Raises SourceError (the source's fault) or StorageError (this machine's disk).
    """
    location = override or source.location
    if not location:
        raise SourceError("no location is declared for this source; its rows come from the sample generator")
    if "\0" in location:
        raise SourceError("the location contains a NUL character")
    path = into / RAW_NAME
    shown = redacted(location)
    with atomic_file(path) as file:
        raw = RawFile(file, path, shown, source.max_megabytes, source.timeout_seconds)
        _receive(location, raw, storage_options or {})
        raw.finish()
    how = f"{raw.size / MEGABYTE:,.2f} MB" + (" unpacked from gzip" if raw.packed else "")
    return Fetched(path, raw.sha256, raw.size, shown, f"{shown} ({how})")


def fetch_sample(generate: Callable[[int, int], pd.DataFrame], source: Source, into: Path) -> Fetched:
    """Write generated rows as `raw.csv` in `into`, so that they take every step that real rows take."""
    path = into / RAW_NAME
    rows, seed = source.sample_rows, source.sample_seed
    text = generate(rows, seed).to_csv(index=False, lineterminator="\n")
    location = f"sample:{generate.__module__.rpartition('.')[2]}?rows={rows}&seed={seed}"
    with atomic_file(path) as file:
        raw = RawFile(file, path, location, source.max_megabytes, source.timeout_seconds)
        raw.write(text.encode())
        raw.finish()
    described = f"sample data: {rows:,} generated rows, seed {seed}"
    return Fetched(path, raw.sha256, raw.size, location, described, sample=True)


def _receive(location: str, raw: RawFile, options: Mapping[str, Any]) -> None:
    scheme = location.split("://", 1)[0].lower() if "://" in location else ""
    if scheme in ("http", "https"):
        _in_time(raw, _receive_http, location, raw)
    elif remote.store_of(location) is not None:
        _in_time(raw, _receive_object, location, raw, options)
    elif scheme == "file":
        _receive_local(_path_of_url(location, raw.shown), raw)
    elif scheme == "":
        _receive_local(Path(location).expanduser().absolute(), raw)
    else:
        raise SourceError(f"{raw.shown}: only a path, file://, http(s)://, {remote.KNOWN} are known")


def _path_of_url(location: str, shown: str) -> Path:
    parts = urlsplit(location)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise SourceError(f"{shown}: write a local file as file:///folder/name.csv")
    return Path(path)


def _receive_local(path: Path, raw: RawFile) -> None:
    """Copy a regular file, and notice one that is written to meanwhile; a pipe or device would never end."""
    try:
        before = path.stat()
        if stat.S_ISDIR(before.st_mode):
            raise SourceError(f"{path} is a folder; give the CSV file in it")
        if not stat.S_ISREG(before.st_mode):
            raise SourceError(f"{path} is not a regular file")
        raw.expect(before.st_size)
        with path.open("rb") as file:
            # A file that grows as fast as it is read would never end.
            while raw.received <= before.st_size and (block := file.read(BLOCK)):
                raw.write(block)
            after = os.fstat(file.fileno())
        now = path.stat()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: there is no such file") from error
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    states = {(s.st_ino, s.st_size, s.st_mtime_ns) for s in (before, after, now)}
    if len(states) > 1 or raw.received != now.st_size:
        raise SourceError(f"{path} changed while it was being copied; fetch it again", transient=True)


def _in_time(raw: RawFile, receive: Callable[..., Any], *args: Any) -> None:
    """Run a receiving coroutine to its end or the time limit: a limit per read can not end a slow drip."""
    import fsspec.asyn
    from fsspec.exceptions import FSTimeoutError

    try:
        fsspec.asyn.sync(fsspec.asyn.get_loop(), receive, *args, timeout=raw.remaining)
    except FSTimeoutError as error:
        raise raw.out_of_time() from error


async def _receive_http(location: str, raw: RawFile) -> None:
    import httpx

    try:
        url = httpx.URL(location) if urlsplit(location).hostname else None
    except (httpx.InvalidURL, ValueError):
        url = None
    if url is None:
        raise SourceError(f"{raw.shown}: this is not a valid URL")
    # Credentials travel beside the URL, because the URL is what libraries log.
    auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
    limits = httpx.Timeout(raw.remaining, connect=min(CONNECT_SECONDS, raw.remaining))
    client = httpx.AsyncClient(
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=limits,
        headers={"Accept-Encoding": "identity"},
    )
    try:
        with urls_kept_out_of_logs():
            async with client, client.stream("GET", url.copy_with(userinfo=b""), auth=auth) as answer:
                _check_answer(answer, raw)
                async for block in answer.aiter_raw():
                    raw.write(block)
    except httpx.TooManyRedirects as error:
        raise SourceError(f"{raw.shown}: more than {MAX_REDIRECTS} redirects") from error
    except httpx.TimeoutException as error:
        raise SourceError(f"{raw.shown}: the server does not answer", transient=True) from error
    except httpx.UnsupportedProtocol:
        raise SourceError(f"{raw.shown}: it redirects to something other than http(s)") from None
    except httpx.RemoteProtocolError as error:
        raise SourceError(f"{raw.shown}: the answer broke off: {error}", transient=True) from error
    except httpx.HTTPError as error:
        raise SourceError(f"{raw.shown}: can't be reached: {error}", transient=True) from error


def _check_answer(answer: httpx.Response, raw: RawFile) -> None:
    code = answer.status_code
    if code != 200:
        busy = code in (408, 425, 429) or code >= 500
        meaning = MEANING_OF_STATUS.get(code, "the server failed" if code >= 500 else "no file in the answer")
        raise SourceError(f"{raw.shown}: HTTP {code}, {meaning}", transient=busy)
    packing = answer.headers.get("content-encoding", "identity").lower()
    if packing not in ("identity", "gzip", "x-gzip", ""):
        raise SourceError(f"{raw.shown}: the server sends it packed as {packing!r}; only gzip is unpacked")
    length = answer.headers.get("content-length", "")
    raw.expect(int(length) if length.isdecimal() else None)


@contextmanager
def urls_kept_out_of_logs() -> Iterator[None]:
    """httpx logs every URL, redirects included, with its query; httpcore logs the headers of every answer."""
    loggers = [logging.getLogger(name) for name in ("httpx", "httpcore.http11", "httpcore.http2")]
    for logger in loggers:
        logger.addFilter(_redact_record)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_redact_record)


def _redact_record(record: logging.LogRecord) -> bool:
    if record.name.startswith("httpcore"):
        return "headers" not in record.getMessage()
    if isinstance(record.args, tuple):
        record.args = tuple(redacted(str(a)) if type(a).__name__ == "URL" else a for a in record.args)
    return True


async def _receive_object(location: str, raw: RawFile, options: Mapping[str, Any]) -> None:
    """Copy one version of an object, whatever happens meanwhile."""
    try:
        whole = "/" in remote.key_of(location)
    except StorageError:
        whole = False
    if not whole:
        raise SourceError(f"{raw.shown}: write {remote.form_of(location)}")
    size = 0
    try:
        async for block, size in remote.blocks(location, options):
            raw.expect(size)
            raw.write(block)
    except (FileNotFoundError, PermissionError) as error:
        missing = isinstance(error, FileNotFoundError)
        words = "there is no such object" if missing else f"access is refused: {said(error)}"
        raise SourceError(f"{raw.shown}: {words}") from error
    except ChangedError as error:
        raise SourceError(str(error), transient=True) from error
    except Exception as error:
        if isinstance(error, SourceError | StorageError) or not (isinstance(error, OSError) or of_a_store(error)):
            raise
        raise SourceError(f"{raw.shown}: can't be read: {said(error)}", transient=True) from error
    if raw.received != size:
        raise SourceError(f"{raw.shown}: the answer broke off after {raw.received:,} bytes", transient=True)
