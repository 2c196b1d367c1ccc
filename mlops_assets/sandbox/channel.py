"""The pipe on which a stage's process tells what it has done: JSON, one object a line. Standard library only."""

from __future__ import annotations

import json
import os
from typing import Any


class Channel:
    """Writes to the platform; what is written may be forged by the stage, about itself only."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, kind: str, **facts: Any) -> None:
        """Write one line, whole; waits while the platform is behind with reading."""
        write_all(self._descriptor, json.dumps({"kind": kind, **facts}).encode() + b"\n")


def write_all(descriptor: int, content: bytes) -> None:
    """Write to a pipe, all of it. Raises OSError."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
