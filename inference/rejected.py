"""Lines that the database will never take: kept beside the journal with the reason, so that nothing is lost.

Add here what may be done to save such a line. Keep out how one is found (`shipper`). A file a segment,
`rejected/<service>-<segment>.jsonl`, each line {"offset", "reason", "line"}; a person repairs or removes it.
"""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

LIMIT_BYTES = 256 << 20
REPLACEMENT = "\ufffd"

log = logging.getLogger(__name__)


class Rejected:
    """The folder of rejected lines; at most about `limit_bytes` of them are kept, the rest is only counted."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._size: int | None = None
        self._seen: dict[str, set[int]] = {}

    def add(self, source: str, offset: int, kind: str, reason: str, line: bytes) -> None:
        """Keep a line and tell, without its content, that it was rejected. Raises OSError if it can't be kept."""
        name = f"{source.replace('/', '-')}.jsonl"
        # After a kill the same line is rejected again.
        if offset in self._offsets(name):
            return
        record = {"offset": offset, "reason": reason, "line": line.decode(errors="backslashreplace")}
        data = json.dumps(record).encode() + b"\n"
        if self._room() < len(data):
            log.error("%s, byte %d: rejected and not kept, %s is full: %s", source, offset, self._folder, kind)
        else:
            self._append(name, data)
            log.error("%s, byte %d: a line is rejected and kept in %s: %s", source, offset, self._folder, kind)
        self._seen[name].add(offset)

    def _append(self, name: str, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            if os.write(file, data) < len(data):
                os.ftruncate(file, size)
                raise OSError(f"{self._folder / name}: no space left on the disk")
        finally:
            os.close(file)
        self._size = (self._size or 0) + len(data)

    def _room(self) -> int:
        if self._size is None:
            self._size = sum(p.stat().st_size for p in self._folder.glob("*.jsonl"))
        return self._limit - self._size

    def _offsets(self, name: str) -> set[int]:
        if name not in self._seen:
            try:
                lines = (self._folder / name).read_text().splitlines()
            except FileNotFoundError:
                lines = []
            self._seen[name] = {int(json.loads(line)["offset"]) for line in lines}
        return self._seen[name]


def repaired(line: bytes) -> bytes | None:
    """The line with what jsonb can't hold replaced: zero characters and lone surrogates in texts by U+FFFD, NaN
    and infinities by null. None when it isn't a JSON object, or there is nothing to repair.
    """
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            return None
        clean = _clean(value)
        text = json.dumps(clean, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return None if json.loads(text) == value else text.encode()
    except (ValueError, RecursionError):
        return None


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", REPLACEMENT)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value
