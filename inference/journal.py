"""The journal: lines that must survive, appended to local segment files before a request is answered.

Add here what decides how a line gets onto the disk. Keep out what a line means (`predict`, `feedback`) and how
segments are read (`segments`). A segment is written by one process, which holds a lock on it as long as it may
still grow: `<time>-<name>-….open`, renamed to `….closed` at rotation. Nothing here raises into a prediction.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

OPEN = ".open"
CLOSED = ".closed"
SEGMENT_BYTES = 8 << 20
SEGMENT_SECONDS = 10.0
BUFFER_BYTES = 64 << 20
# What one call writes of a buffer at most: an event loop that waits for it is held up for a millisecond.
WRITE_BYTES = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JournalState:
    """What isn't in the database yet, as far as this folder knows.

    `backlog_bytes` of segments in the folder, of every process; `buffered_lines` of this process that no disk has
    yet; `lost_lines` since it started; `problem` says why lines can't be written now, None when they can.
    """

    backlog_bytes: int = 0
    buffered_lines: int = 0
    lost_lines: int = 0
    problem: str | None = None


class Journal:
    """Appends lines to segments of its own in `folder`. Opens nothing until the first line; safe for threads.

    While the disk takes nothing, lines wait in memory, `buffer_bytes` at most, and are written in order once it
    does; what is beyond that is counted as lost.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segment_seconds: float = SEGMENT_SECONDS,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._folder = folder
        self._name = name
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._buffer_bytes = buffer_bytes
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._file: int | None = None
        self._path = folder
        self._size = 0
        self._lines = 0
        self._rotate_at = 0.0
        self._buffer: deque[bytes] = deque()
        self._buffered = 0
        self._lost = 0
        self._problem: str | None = None

    def append(self, line: bytes) -> None:
        """Write one or more lines, each ended by a newline, in one system call if the disk takes them."""
        if not line:
            return
        if line[-1] != 10:
            line += b"\n"
        with self._lock:
            if self._buffer:
                self._keep(line)
                self._flush()
                return
            try:
                written = self._write(line)
            except OSError as error:
                self._fail(error)
                self._keep(line)
                return
            if written < len(line):
                self._keep(line[written:])
                self._flush()

    def try_append(self, line: bytes) -> bool:
        """Write a line ended by a newline at once, or keep nothing of it; whether it is on the disk."""
        with self._lock:
            if self._buffer:
                self._flush()
            if self._buffer:
                return False
            try:
                self._write(line)
            except OSError as error:
                self._fail(error)
                return False
            return True

    def rotate_if_due(self) -> None:
        """Try again what waits in memory and end a segment that is old; call it every half second or so."""
        with self._lock:
            if self._buffer:
                self._flush()
            else:
                # Whether the disk takes lines again shows at the next one.
                self._problem = None
            if self._file is not None and time.monotonic() >= self._rotate_at:
                self._end_segment()

    def close(self) -> None:
        """Write what can be written and end the segment. A later line opens a new one."""
        with self._lock:
            while self._buffer and self._flush():
                pass
            if self._buffer:
                log.error("%d journal lines could not be written: %s", self._waiting(), self._problem)
            self._end_segment()

    def state(self) -> JournalState:
        """Sizes and troubles now; reads the folder, so keep it off the way of a request."""
        backlog = backlog_of(self._folder)
        with self._lock:
            return JournalState(backlog, self._waiting(), self._lost, self._problem)

    def _write(self, data: bytes) -> int:
        """Bytes of whole lines that are in the segment now. Raises OSError; then nothing of `data` is."""
        file = self._file
        if file is None:
            file = self._open_segment()
        written = os.write(file, data)
        if written < len(data):
            written = self._cut(file, data.rfind(b"\n", 0, written) + 1)
            if not written:
                if self._size:
                    self._end_segment()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self._lines += data.count(b"\n", 0, written)
        if self._size >= self._segment_bytes:
            self._end_segment()
        return written

    def _cut(self, file: int, whole: int) -> int:
        try:
            # A reader never takes an unfinished line, so cutting it off takes nothing away from anybody.
            os.ftruncate(file, self._size + whole)
        except OSError:
            self._end_segment()  # the torn line stays its last, and is skipped
            raise
        return whole

    def _open_segment(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = f"{time.time_ns():020d}-{self._name}-{os.getpid()}-{os.urandom(3).hex()}-{next(self._numbers)}"
        path = self._folder / f"{stem}{OPEN}"
        fresh = self._folder / f".{stem}"
        file = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Locked before it can be seen: whoever gets the lock of a segment knows that its writer is gone.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(fresh, path)
        except OSError:
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        self._file, self._path, self._size, self._lines = file, path, 0, 0
        self._rotate_at = time.monotonic() + self._segment_seconds
        return file

    def _end_segment(self) -> None:
        if self._file is None:
            return
        try:
            os.rename(self._path, self._path.with_suffix(CLOSED))
        except FileNotFoundError:
            self._lost += self._lines
            log.error("%s is gone with %d lines: somebody else removed it", self._path, self._lines)
        except OSError as error:  # once its lock is gone it counts as closed under any name
            log.warning("%s can't be renamed: %s", self._path, error)
        os.close(self._file)
        self._file = None

    def _keep(self, data: bytes) -> None:
        if self._buffered + len(data) > self._buffer_bytes:
            if not self._lost:
                log.error("the journal's memory is full: lines are lost until the disk takes some (%s)", self._problem)
            self._lost += data.count(b"\n")
            return
        self._buffer.append(data)
        self._buffered += len(data)

    def _flush(self) -> bool:
        """Write the oldest of the buffer, about WRITE_BYTES; whether the disk took all of that."""
        parts = [self._buffer.popleft()]
        size = len(parts[0])
        while self._buffer and size + len(self._buffer[0]) <= WRITE_BYTES:
            parts.append(self._buffer.popleft())
            size += len(parts[-1])
        data = b"".join(parts)
        try:
            written = self._write(data)
        except OSError as error:
            self._fail(error)
            written = 0
        if written < size:
            self._buffer.appendleft(data[written:])
        self._buffered -= written
        if not self._buffer and self._problem is not None:
            log.info("the journal can be written again; everything that waited is written")
            self._problem = None
        return written == size

    def _fail(self, error: OSError) -> None:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        problem = f"no space for {self._folder}" if full else f"{self._folder}: {error.strerror or error}"
        if error.errno == errno.EFBIG and self._size:
            self._end_segment()
        if problem != self._problem:
            log.error("the journal can't be written, lines wait in memory: %s", problem)
        self._problem = problem

    def _waiting(self) -> int:
        return sum(data.count(b"\n") for data in self._buffer)


def backlog_of(folder: Path) -> int:
    """Bytes of the segments in a folder; one that is shipped meanwhile counts as nothing."""
    found = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((OPEN, CLOSED)):
                    found += _size(entry)
    except OSError:  # no folder yet
        return 0
    return found


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0
