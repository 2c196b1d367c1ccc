"""A raw file while it arrives: limits on size and time, gzip unpacked, the hash of what was really kept.

Add here what holds for raw bytes from anywhere. Keep out where they come from (`sources`) and what they say
(`csv_file`). The hash is of the unpacked bytes, so a file and its gzip are the same content.
"""

from __future__ import annotations

import hashlib
import time
import zlib
from pathlib import Path
from typing import IO

from mlops_assets.storage.files import told

GZIP = b"\x1f\x8b"
MEGABYTE = 1_000_000
BLOCK = 1 << 20


class SourceError(RuntimeError):
    """Raw data could not be had; the message names the source without its credentials, and the cause.

    `transient` says that the same request may work later: a time limit, a lost connection, a busy server.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class RawFile:
    """Receives the bytes of one source into an open file. `shown` names the source in errors."""

    def __init__(self, file: IO[bytes], path: Path, shown: str, max_megabytes: float, seconds: float) -> None:
        self.path = path
        self.shown = shown
        self.size = 0
        self.packed = False
        self.received = 0
        self._file = file
        self._limit = int(max_megabytes * MEGABYTE)
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._digest = hashlib.sha256()
        self._start = b""
        self._inflater: zlib._Decompress | None = None

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the bytes kept so far."""
        return self._digest.hexdigest()

    @property
    def remaining(self) -> float:
        """Seconds left of the time limit, never below a tick."""
        return max(0.001, self._deadline - time.monotonic())

    def out_of_time(self) -> SourceError:
        """The error of a source that took longer than its time limit."""
        got = f"{self.received:,} bytes had arrived"
        return SourceError(
            f"{self.shown}: not complete after {self._seconds:g} s ({got}); timeout_seconds is the limit",
            transient=True,
        )

    def too_large(self, what: str = "the file") -> SourceError:
        """The error of a source over its size limit."""
        return SourceError(
            f"{self.shown}: {what} is larger than {self._limit / MEGABYTE:g} MB; max_megabytes is the limit"
        )

    def expect(self, size: int | None) -> None:
        """Refuse at once a source that announces more bytes than are allowed."""
        if size is not None and size > self._limit:
            raise self.too_large()

    def write(self, block: bytes) -> None:
        """Take the next bytes as they came."""
        if time.monotonic() > self._deadline:
            raise self.out_of_time()
        first = self.received < len(GZIP)
        self.received += len(block)
        if self.received > self._limit:
            raise self.too_large()
        if first:
            block = self._start + block
            if len(block) < len(GZIP):
                self._start = block
                return
            self._start = b""
            self.packed = block.startswith(GZIP)
        if self.packed:
            self._inflate(block)
        else:
            self._keep(block)

    def finish(self) -> None:
        """No more bytes come: check that a gzip stream is complete."""
        if self._start:
            self._keep(self._start)
        if self._inflater is not None and not self._inflater.eof:
            raise SourceError(f"{self.shown}: the gzip file is cut off after {self.received:,} bytes")

    def _inflate(self, block: bytes) -> None:
        """Unpack in bounded steps: a small file may unpack to terabytes. Concatenated members are allowed."""
        unpacked = b""
        while block or len(unpacked) == BLOCK:
            if time.monotonic() > self._deadline:
                raise self.out_of_time()
            if self._inflater is None or (self._inflater.eof and block.strip(b"\0")):
                self._inflater = zlib.decompressobj(wbits=31)
            elif self._inflater.eof:
                return
            try:
                unpacked = self._inflater.decompress(block, BLOCK)
            except zlib.error as error:
                raise SourceError(f"{self.shown}: the gzip file is damaged ({error})") from error
            self._keep(unpacked)
            block = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail

    def _keep(self, block: bytes) -> None:
        self.size += len(block)
        if self.size > self._limit:
            raise self.too_large("what the gzip file unpacks to" if self.packed else "the file")
        self._digest.update(block)
        with told(self.path):
            self._file.write(block)
