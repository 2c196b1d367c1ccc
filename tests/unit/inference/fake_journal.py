"""A journal in memory, whose disk can be full."""

from __future__ import annotations

import json
from typing import Any

from inference.journal import JournalState

KEY = bytes(range(32))


class FakeJournal:
    """Keeps what it is given, one append after the other."""

    def __init__(self) -> None:
        self.appended: list[bytes] = []
        self.problem: str | None = None
        self.buffered = 0

    def append(self, line: bytes) -> None:
        self.appended.append(line)

    def try_append(self, line: bytes) -> bool:
        if self.problem is not None or self.buffered:
            return False
        self.append(line)
        return True

    def rotate_if_due(self) -> None:
        """Nothing to rotate."""

    def close(self) -> None:
        """Nothing to close."""

    def state(self) -> JournalState:
        return JournalState(sum(map(len, self.appended)), self.buffered, 0, self.problem)

    def records(self) -> list[dict[str, Any]]:
        """Every line, parsed; each is whole."""
        lines = b"".join(self.appended).split(b"\n")
        assert lines.pop() == b""
        return [json.loads(line, parse_constant=lambda name: pytest_fail(name)) for line in lines]


def pytest_fail(name: str) -> None:
    """JSON has no such constant."""
    raise AssertionError(f"{name} in a line of the journal")
