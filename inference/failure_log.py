"""The gateway's log of requests that nobody could answer: read from where we stopped, rotated when it is large.

Add here what the gateway's lines say. Keep out the rows they become (`ship_rows`). One JSON object a line; "-" or
null is a value the gateway doesn't know. Lines read twice change nothing: a request id is inserted once.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from inference.segments import READ_BYTES, whole_lines

ROTATE_BYTES = 16 << 20
# The gateway opens the new file at its next write; until then it may still write to the renamed one.
QUIET_SECONDS = 5.0
ADMIN_SECONDS = 2.0
REOPEN_EVERY_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failures:
    """Rows of `mlops.request_failure`, how many lines were no such row, and where the next read begins."""

    rows: list[dict[str, Any]]
    bad: int
    path: Path
    offset: int


class FailureLog:
    """Follows the file at `path`; `admin` is the Unix socket of the gateway's admin interface, None: no rotation."""

    def __init__(self, path: Path, admin: Path | None, rotate_bytes: int = ROTATE_BYTES) -> None:
        self._path = path
        self._rotated = path.with_name(path.name + ".rotated")
        self._memory = path.with_name(path.name + ".offsets")
        self._admin = admin
        self._rotate_bytes = rotate_bytes
        self._offsets = _remembered(self._memory)
        self._reopen_at = 0.0

    def take(self) -> Failures | None:
        """The next failures, the rotated file first; None when there are none. Blank and bad lines are passed."""
        for path in (self._rotated, self._path):
            offset = self._offset(path)
            data = whole_lines(path, offset, READ_BYTES)
            if data:
                found = [_row(line) for line in data.splitlines() if line.strip()]
                rows = [row for row in found if row]
                return Failures(rows, sum(row is None for row in found), path, offset + len(data))
        return None

    def done(self, failures: Failures) -> None:
        """These are in the database."""
        self._offsets[_inode(failures.path)] = failures.offset
        self._remember()

    def rotate_if_due(self) -> None:
        """Rename a large file, have the gateway open a new one, and delete the old one once it is read and quiet."""
        if self._admin is None:
            return
        if self._rotated.exists():
            self._finish_rotation()
        elif _size(self._path) > self._rotate_bytes:
            os.rename(self._path, self._rotated)
            self._reopen_at = 0.0
            self._finish_rotation()

    def _finish_rotation(self) -> None:
        if not self._path.exists() and time.monotonic() >= self._reopen_at:
            self._reopen_at = time.monotonic() + REOPEN_EVERY_SECONDS
            _reopen(self._admin)
            return
        status = self._rotated.stat()
        read = self._offset(self._rotated) >= status.st_size
        if self._path.exists() and read and time.time() - status.st_mtime > QUIET_SECONDS:
            self._offsets.pop(str(status.st_ino), None)
            self._rotated.unlink()
            self._remember()

    def _offset(self, path: Path) -> int:
        offset = self._offsets.get(_inode(path), 0)
        return offset if offset <= _size(path) else 0  # emptied in place

    def _remember(self) -> None:
        present = {_inode(path) for path in (self._path, self._rotated)}
        self._offsets = {inode: offset for inode, offset in self._offsets.items() if inode in present}
        partial = self._memory.with_name(self._memory.name + ".partial")
        partial.write_text(json.dumps(self._offsets))
        os.replace(partial, self._memory)


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a line; an empty one if it belongs to no rollout, None if it can't be understood."""
    try:
        record = json.loads(line)
        given: dict[str, Any] = {k: None if v in ("-", "") else v for k, v in record.items()}
        if given.get("rollout") is None:
            return {}
        return {
            "request_id": _text(given["request_id"]),
            "at": datetime.fromisoformat(given["at"]).isoformat(),
            "product": _text(given["product"]),
            "assigned": given.get("assigned"),
            "rollout": int(given["rollout"]),
            "step": None if given.get("step") is None else int(given["step"]),
            "status": int(given.get("status") or 0),
            "flags": given.get("flags"),
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


def _reopen(admin: Path | None) -> None:
    import http.client  # 3 MB that a shipper without a rotation never needs

    connection = http.client.HTTPConnection("gateway", timeout=ADMIN_SECONDS)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(ADMIN_SECONDS)
        connection.sock.connect(str(admin))
        connection.request("POST", "/reopen_logs")
        status = connection.getresponse().status
        if status != 200:
            log.warning("the gateway refused to open its log anew: status %d", status)
    except (OSError, http.client.HTTPException) as error:
        log.warning("the gateway can't be asked to open its log anew: %s", error)
    finally:
        connection.close()


def _remembered(path: Path) -> dict[str, int]:
    try:
        return {str(inode): int(offset) for inode, offset in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, TypeError, OSError) as error:
        log.warning("%s can't be read, the gateway's log is read from its start: %s", path, error)
        return {}


def _inode(path: Path) -> str:
    try:
        return str(path.stat().st_ino)
    except FileNotFoundError:
        return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
