"""What is logged of a prediction and of feedback: one JSON line each, in the journal before the answer is sent.

Add a key here when the log must hold one more fact, and in what moves the lines to the database. Keep out how
lines reach the disk (`journal`) and what is answered (`predict`, `feedback`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from inference.caller import Caller, caller_of
from inference.keys import UserHashes
from inference.prediction_id import PredictionIds, uuid7
from inference.served import Serving

# JSON's escape of U+0000, which PostgreSQL's text can't hold.
_NUL = b"\\u0000"


class JournalState(Protocol):
    """How the journal fares. `problem` is why lines can't be written to disk now."""

    @property
    def backlog_bytes(self) -> int: ...

    @property
    def buffered_lines(self) -> int: ...

    @property
    def lost_lines(self) -> int: ...

    @property
    def problem(self) -> str | None: ...


class Journal(Protocol):
    """Where lines go, from any thread; nothing raises. `state` tells whether lines reach the disk.

    What it doesn't take, `append` keeps in memory and `try_append` refuses.
    """

    def append(self, line: bytes) -> None: ...

    def try_append(self, line: bytes) -> bool: ...

    def rotate_if_due(self) -> None: ...

    def close(self) -> None: ...

    def state(self) -> JournalState: ...


@dataclass(frozen=True, slots=True)
class Answered:
    """One estimate that is about to be answered: its id, what was asked and what is said, without the id."""

    identifier: str
    record: BaseModel
    output: dict[str, Any]


class Recorder:
    """Writes one product's predictions and feedback to a journal."""

    def __init__(self, journal: Journal, key: bytes, product: str) -> None:
        self.journal = journal
        self.ids = PredictionIds(key, product)
        self._product = product
        self._users = UserHashes(key)

    def caller(self, headers: Sequence[tuple[bytes, bytes]]) -> Caller:
        """Who asks, the user's name already hashed."""
        return caller_of(headers, self._users)

    def lines(self, caller: Caller, serving: Serving, answered: Sequence[Answered], milliseconds: float) -> bytes:
        """The lines of a request's answers. `milliseconds` is the time that one record took."""
        at = time.time()
        sample = serving.model.manifest.dataset.sample
        return b"".join(
            _line({
                "k": "p", "id": one.identifier, "product": self._product, "at": at, "variant": serving.label,
                "version": serving.model.version, "assigned": caller.assigned, "rollout": caller.rollout,
                "step": caller.step, "user": caller.user, "features": one.record, "output": one.output,
                "ms": milliseconds, "request_id": caller.request_id, "trace_id": caller.trace_id, "sample": sample,
            })
            for one in answered
        )  # fmt: skip

    def feedback(self, prediction_id: str, kind: str, value: float | None, text: str | None) -> bool:
        """Log one feedback; False when it isn't safe on the disk, and so must not be acknowledged.

        Then nothing of it is kept: who is refused gives it again, to another host, and it would be there twice.
        May wait for the disk, so call it off the event loop.
        """
        record = {
            "k": "f", "id": uuid7(), "product": self._product, "prediction_id": prediction_id, "at": time.time(),
            "type": kind, "value": value, "text": text,
        }  # fmt: skip
        return self.journal.try_append(_line(record))


def _line(record: dict[str, Any]) -> bytes:
    line = to_json(record, inf_nan_mode="null")
    if _NUL in line:
        line = to_json(_without_nul(from_json(line)))
    return line + b"\n"


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(inner) for name, inner in value.items()}
    return [_without_nul(inner) for inner in value] if isinstance(value, list) else value
