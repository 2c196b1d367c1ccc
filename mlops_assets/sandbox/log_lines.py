"""What a stage prints and logs, cut into lines, and cut off when it is too much."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from mlops_assets.sandbox.context import LOG_MARK

LINE_BYTES = 32_000
# Many short lines cost more than their bytes.
LINES_A_MB = 50_000
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class LogLine:
    """One line: printed ones have the level INFO. `at` is when it arrived, in seconds since 1970."""

    at: float
    level: str
    text: str


class LogLines:
    """Turns the bytes of one stage into lines, at most `limit_mb` of them; the rest is counted and dropped."""

    def __init__(self, limit_mb: float) -> None:
        self._limit_mb = limit_mb
        self._left = int(limit_mb * 1_000_000)
        self._lines_left = int(limit_mb * LINES_A_MB)
        self._rest = b""
        self._dropped = 0

    def feed(self, content: bytes) -> list[LogLine]:
        """The lines that are whole by now; one is cut when it gets too long."""
        if self._dropped:
            self._dropped += len(content)
            return []
        kept = self._within(content)
        over = content[len(kept) :]
        *whole, self._rest = (self._rest + kept).split(b"\n")
        while len(self._rest) > LINE_BYTES:
            whole.append(self._rest[:LINE_BYTES])
            self._rest = self._rest[LINE_BYTES:]
        lines = [line for text in whole for line in _lines(text)]
        if over:
            self._dropped = len(over)
            lines += self._unfinished()
            lines.append(_note(f"the log is cut after {self._limit_mb:g} MB; the stage goes on"))
        return lines

    def _within(self, content: bytes) -> bytes:
        """As much of it as the limit leaves room for."""
        kept = content[: self._left]
        self._left -= len(kept)
        lines = kept.count(b"\n")
        if lines > self._lines_left:
            kept = b"\n".join(kept.split(b"\n", self._lines_left)[: self._lines_left]) + b"\n"
        self._lines_left -= lines
        return kept

    def finish(self) -> list[LogLine]:
        """What is left when nothing more comes, and how much was dropped."""
        lines = self._unfinished()
        if self._dropped:
            lines.append(_note(f"{self._dropped} bytes of the log were dropped"))
        return lines

    def _unfinished(self) -> list[LogLine]:
        rest, self._rest = self._rest, b""
        return list(_lines(rest)) if rest else []


def _lines(raw: bytes) -> list[LogLine]:
    level, text = "INFO", raw
    if raw.startswith(LOG_MARK):
        try:
            level, message = json.loads(raw[1:])
            text = str(message).encode(errors="replace")
        except (ValueError, TypeError):
            level = "INFO"
    known = level if level in LEVELS else "INFO"
    now = time.time()
    return [LogLine(now, known, _readable(part)) for part in text.split(b"\n")]


def _readable(text: bytes) -> str:
    # No database takes a NUL in a text.
    return text.decode(errors="replace").replace("\0", "�").rstrip("\r")


def _note(text: str) -> LogLine:
    return LogLine(time.time(), "WARNING", text)
