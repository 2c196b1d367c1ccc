"""Lines as a service writes them into its journal, and a process that writes them until it is killed.

`python -m tests.journal_lines FOLDER ACKNOWLEDGED LINES_A_SECOND` appends lines; the id of each is written to
ACKNOWLEDGED after `append` returned. It ends by itself after a minute.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from inference.journal import Journal
from inference.prediction_id import uuid7


def prediction(**changes: Any) -> dict[str, Any]:
    """One prediction of product `homes` by production, of a user in rollout 1, step 0."""
    return {
        "k": "p",
        "id": uuid7(),
        "product": "homes",
        "at": time.time(),
        "variant": "production",
        "version": 3,
        "assigned": "production",
        "rollout": 1,
        "step": 0,
        "user": "u1",
        "features": {"area": 1200.5, "rooms": 3, "town": "Pune", "garden": None, "new": True},
        "output": {"price": 55.25, "unit": "lakh INR", "interval": {"low": 50.0, "high": 60.5}},
        "ms": 0.41,
        "request_id": uuid7(),
        "sample": False,
    } | changes


def feedback(prediction_id: str, **changes: Any) -> dict[str, Any]:
    """A rating of 4 on that prediction."""
    return {
        "k": "f",
        "id": uuid7(),
        "product": "homes",
        "prediction_id": prediction_id,
        "at": time.time(),
        "type": "rating",
        "value": 4.0,
        "text": None,
    } | changes


def encoded(*records: dict[str, Any]) -> bytes:
    """Journal lines."""
    return b"".join(json.dumps(r, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for r in records)


def write(folder: Path, acknowledged: Path, lines_a_second: float, seconds: float = 60.0) -> None:
    """Append at a steady pace until killed or asked to end (SIGTERM closes the journal)."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGTERM, ask)
    journal = Journal(folder, "writer", segment_bytes=200_000, segment_seconds=0.4)
    began, count = time.monotonic(), 0
    with acknowledged.open("ab", buffering=0) as told:
        while not asked and time.monotonic() - began < seconds:
            for _ in range(20):
                count += 1
                side = "candidate" if count % 5 == 0 else "production"
                user = None if count % 7 == 0 else f"{side}-{os.getpid()}-{count % 350}"
                record = prediction(assigned=side, variant=side, user=user, ms=0.1 + count % 40, step=count // 2000 % 2)
                journal.append(encoded(record))
                os.write(told.fileno(), record["id"].encode() + b"\n")
            journal.rotate_if_due()
            time.sleep(max(0.0, began + count / lines_a_second - time.monotonic()))
    journal.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
