"""One step of shipping: journal lines and the gateway's failed requests into the database, and what gets in the way.

Add here how a trouble with lines is answered. Keep out when a step is due (`shipper`), files (`segments`,
`failure_log`) and SQL (`ship_rows`). A line that the database refuses never holds up the others.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.failure_log import FailureLog
from inference.rejected import Rejected, repaired
from inference.segments import READ_BYTES, REJECTED, Line, Piece, Segments, lines_of
from inference.ship_rows import LogDatabase, Shipped
from inference.timed_connection import DatabaseDownError, RefusedError

LEAST_BYTES = 64 << 10
AGAIN_SECONDS = 10.0
UPKEEP_SECONDS = 3600.0
JOIN_SECONDS = 1.0
STATUS_SECONDS = 1.0
STATUS = "status.json"
FEEDBACK_FIELDS = ("id", "product", "prediction_id", "at", "type", "value", "text")

log = logging.getLogger(__name__)


@dataclass
class Counts:
    """What this process did since it started."""

    predictions: int = 0
    feedback: int = 0
    failures: int = 0
    waiting: int = 0
    refused: int = 0
    rejected: int = 0
    repaired: int = 0
    torn: int = 0


class Shipper:
    """One step after the other; `step` may be called by a test."""

    def __init__(self, root: Path, database: LogDatabase, failures: FailureLog | None = None) -> None:
        self._root = root
        self._database = database
        self._failures = failures
        self._segments = Segments(root)
        self._rejected = Rejected(root / REJECTED)
        self._limit = READ_BYTES
        self._upkeep_at = 0.0
        self._join_at = 0.0
        self._status_at = 0.0
        self.counts = Counts()
        self.problem: str | None = None

    def step(self) -> bool:
        """Ship once; whether there may be more to ship at once. Raises DatabaseDownError."""
        self._segments.look()
        try:
            self._upkeep()
            pieces = self._segments.take(self._limit)
            if pieces:
                self._ship(pieces)
            else:
                self._join_waiting()
        except DatabaseDownError:
            # A batch that is too much for the time limit of a statement gets smaller until it isn't.
            self._limit = max(LEAST_BYTES, self._limit // 2)
            raise
        self._segments.clean()
        self.counts.torn = self._segments.torn
        failed = self._ship_failures()
        full = sum(len(p.data) for p in pieces) >= self._limit // 2
        self._limit = min(READ_BYTES, self._limit * 2)
        return full or failed

    def _upkeep(self) -> None:
        if time.monotonic() < self._upkeep_at:
            return
        self._database.prepare_days()
        gone = self._database.forget_waiting()
        if gone:
            log.warning("%d feedbacks are dropped: their predictions did not come within a day", gone)
        self._upkeep_at = time.monotonic() + UPKEEP_SECONDS

    def _join_waiting(self) -> None:
        """Feedback and its prediction may be answered by different hosts, and come in any order."""
        if self._database.feedback_waits and time.monotonic() >= self._join_at:
            self._take(self._database.join_waiting(self._refuse))
            self._join_at = time.monotonic() + JOIN_SECONDS

    def _ship(self, pieces: list[Piece]) -> None:
        try:
            self._send(b"".join(piece.data for piece in pieces))
        except RefusedError:
            self._halve(lines_of(pieces))
        self._segments.done(pieces)

    def _halve(self, lines: Sequence[Line]) -> None:
        """Ship all but the lines that the database refuses by themselves."""
        left = [lines]
        while left:
            part = left.pop()
            if not part:
                continue
            try:
                self._send(b"".join(line.data + b"\n" for line in part))
            except RefusedError as error:
                middle = len(part) // 2
                if middle:
                    left += [part[middle:], part[:middle]]
                else:
                    self._reject(part[0], error)

    def _send(self, data: bytes) -> None:
        self._take(self._database.ship(data, self._refuse))

    def _take(self, done: Shipped) -> None:
        self.counts.predictions += done.predictions
        self.counts.feedback += done.feedback
        self.counts.waiting = done.waiting
        self.counts.refused += len(done.refused)

    def _reject(self, line: Line, error: RefusedError) -> None:
        mended = repaired(line.data)
        if mended is not None:
            try:
                self._send(mended + b"\n")
            except RefusedError as still:
                error = still
            else:
                self.counts.repaired += 1
                log.warning("%s, byte %d: a line was repaired (%s)", line.segment.name, line.start, error.kind)
                return
        self.counts.rejected += 1
        try:
            self._rejected.add(line.segment.name, line.start, error.kind, str(error), line.data)
        except OSError as trouble:
            log.error("a rejected line can't be kept, its segment stays: %s", trouble)
            line.segment.again_at = time.monotonic() + AGAIN_SECONDS

    def _refuse(self, rows: Sequence[dict[str, Any]]) -> None:
        """Feedback that names a prediction of another product."""
        for row in rows:
            number = int(str(row["id"]).replace("-", ""), 16)
            line = json.dumps(
                {key: row[key] for key in ("id", "product", "prediction_id", "at", "type", "value", "text")}
            )
            kind = "feedback for a prediction of another product"
            try:
                self._rejected.add("feedback", number, kind, f"{kind}: {row['predicted_for']}", line.encode())
            except OSError as trouble:
                log.error("refused feedback can't be kept: %s", trouble)

    def _ship_failures(self) -> bool:
        found = self._failures.take() if self._failures is not None else None
        if self._failures is None:
            return False
        if found is not None:
            self.counts.rejected += found.bad
            if found.bad:
                log.error("%s: %d lines can't be understood", found.path, found.bad)
            self._send_failures(found.rows)
            self._failures.done(found)
        self._failures.rotate_if_due()
        return found is not None

    def _send_failures(self, rows: Sequence[dict[str, Any]]) -> None:
        if not rows:
            return
        try:
            self.counts.failures += self._database.ship_failures(rows)
        except RefusedError as error:
            if len(rows) == 1:
                self.counts.rejected += 1
                log.error("a failed request is not recorded: %s", error.kind)
                return
            self._send_failures(rows[: len(rows) // 2])
            self._send_failures(rows[len(rows) // 2 :])

    def write_status(self, *, now: bool = False) -> None:
        """Say how it stands, at most once a second. A disk without space is no reason to stop shipping."""
        if time.monotonic() < self._status_at and not now:
            return
        self._status_at = time.monotonic() + STATUS_SECONDS
        backlog, age = self._segments.backlog()
        status = {
            "updated_at": time.time(),
            "pid": os.getpid(),
            "backlog_bytes": backlog,
            "oldest_unshipped_seconds": round(age, 3),
            "last_error": self.problem,
            "shipped": vars(self.counts),
        }
        partial = self._root / f".{STATUS}.partial"
        try:
            partial.write_text(json.dumps(status, indent=1))
            os.replace(partial, self._root / STATUS)
        except OSError as error:
            log.debug("no status is written: %s", error)
