"""The reading side of the journal: whole lines of every service's segments, oldest first, and what to delete.

Add here what must be known of a segment as a file. Keep out what is done with its lines (`shipper`, `ship_rows`)
and how they are written (`journal`). Offsets live in memory only: after a restart every segment is read from its
start again, which changes nothing, because a line that is in the database already is not inserted twice.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from inference.journal import CLOSED, OPEN

READ_BYTES = 1 << 20
REJECTED = "rejected"

log = logging.getLogger(__name__)


@dataclass
class Segment:
    """One file of lines; `offset` is behind the last line that is in the database.

    `again_at`: read it from its start again then (seconds of the monotonic clock), because something of it could
    not be put away; until then it is not deleted.
    """

    service: str
    stem: str
    path: Path
    offset: int = 0
    size: int = 0
    caught_up_at: float = 0.0
    again_at: float | None = None

    @property
    def name(self) -> str:
        """Service and file, for reports."""
        return f"{self.service}/{self.stem}"


@dataclass(frozen=True)
class Piece:
    """Whole lines of one segment from `start` on."""

    segment: Segment
    start: int
    data: bytes


@dataclass(frozen=True)
class Line:
    """One line without its newline, and where it was found."""

    segment: Segment
    start: int
    data: bytes


class Segments:
    """The segments below `root`, one folder a service."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, Segment] = {}
        self.torn = 0

    def look(self) -> None:
        """Find new, renamed, grown and vanished segments."""
        found: dict[str, Segment] = {}
        for service, path in _files(self._root):
            stem = path.name.rsplit(".", 1)[0]
            key = f"{stem}/{service}"
            segment = self._known.get(key) or Segment(service, stem, path)
            try:
                segment.size = path.stat().st_size
            except FileNotFoundError:  # renamed between the two looks: found again by the next one
                found.setdefault(key, segment)
                continue
            segment.path = path
            if segment.size <= segment.offset:
                segment.caught_up_at = time.time()
            found[key] = segment
        self._known = dict(sorted(found.items()))

    def take(self, limit: int = READ_BYTES) -> list[Piece]:
        """About `limit` bytes of whole lines that aren't shipped, the oldest segment first."""
        pieces: list[Piece] = []
        for segment in self._known.values():
            if segment.size <= segment.offset:
                continue
            data = whole_lines(segment.path, segment.offset, limit)
            if data:
                pieces.append(Piece(segment, segment.offset, data))
                limit -= len(data)
            if limit <= 0:
                break
        return pieces

    def done(self, pieces: list[Piece]) -> None:
        """These are in the database, or told as rejected."""
        for piece in pieces:
            piece.segment.offset = max(piece.segment.offset, piece.start + len(piece.data))

    def clean(self) -> None:
        """Delete the segments that can't grow any more and hold nothing that isn't shipped."""
        for segment in list(self._known.values()):
            if segment.path.name.endswith(CLOSED):
                self._delete_if_done(segment)
                continue
            file = _lock_of_dead_writer(segment.path)
            if file is not None:
                try:
                    self._delete_if_done(segment)
                finally:
                    os.close(file)

    def _delete_if_done(self, segment: Segment) -> None:
        if segment.again_at is not None:
            if time.monotonic() >= segment.again_at:
                segment.offset, segment.again_at = 0, None
            return
        try:
            left = segment.path.stat().st_size - segment.offset
            if left > 0 and whole_lines(segment.path, segment.offset, READ_BYTES):
                return
            if left > 0:
                self.torn += 1
                log.warning("%s ends in a line that its writer did not finish: skipped", segment.name)
            segment.path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:
            log.error("%s can't be deleted: %s", segment.path, error)
            return
        self._known.pop(f"{segment.stem}/{segment.service}", None)

    def backlog(self) -> tuple[int, float]:
        """Bytes that aren't shipped, and for how many seconds at most the oldest of them wait."""
        waiting = [s for s in self._known.values() if s.size > s.offset]
        now = time.time()
        ages = [now - max(s.caught_up_at, _made_at(s.stem)) for s in waiting]
        return sum(s.size - s.offset for s in waiting), max([0.0, *ages])


def lines_of(pieces: list[Piece]) -> list[Line]:
    """Each line of some pieces by itself; empty lines are nothing."""
    lines = []
    for piece in pieces:
        start = piece.start
        for data in piece.data.split(b"\n"):
            if data.strip():
                lines.append(Line(piece.segment, start, data))
            start += len(data) + 1
    return lines


def _files(root: Path) -> list[tuple[str, Path]]:
    found = []
    try:
        folders = [f for f in root.iterdir() if f.is_dir() and f.name != REJECTED and not f.name.startswith(".")]
    except FileNotFoundError:
        return []
    for folder in folders:
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            continue
        found += [(folder.name, folder / n) for n in names if n.endswith((OPEN, CLOSED)) and not n.startswith(".")]
    return found


def whole_lines(path: Path, offset: int, limit: int) -> bytes:
    """From `offset` to the last newline within about `limit` bytes; a longer line is read whole."""
    try:
        with path.open("rb", buffering=0) as file:
            while True:
                data = os.pread(file.fileno(), limit, offset)
                end = data.rfind(b"\n") + 1
                if end or len(data) < limit:
                    return data[:end]
                limit *= 2
    except FileNotFoundError:
        return b""


def _lock_of_dead_writer(path: Path) -> int | None:
    """A descriptor that holds the segment's lock, or None while its writer lives."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def _made_at(stem: str) -> float:
    digits = stem.split("-", 1)[0]
    return int(digits) / 1e9 if digits.isdigit() else 0.0
