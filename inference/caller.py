"""Who asks, as the gateway's headers tell it: the user's hash, the assigned variant, where the rollout stands.

Add a header here when the log must hold it. Keep out what is done with it. A value that can't be right is
nothing, never an error: whoever asks gets an answer. No address of a client is ever read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.keys import UserHashes
from inference.trace_id import trace_id_of

ASSIGNED = {b"production": "production", b"candidate": "candidate", b"forced": "forced"}
MAX_REQUEST_ID_BYTES = 128
MAX_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's origin. `user` is a hash, `trace_id` a number; 32 hexadecimal digits each."""

    user: str | None = None
    assigned: str | None = None
    rollout: int | None = None
    step: int | None = None
    request_id: str | None = None
    trace_id: str | None = None


def caller_of(headers: Sequence[tuple[bytes, bytes]], users: UserHashes) -> Caller:
    """Read the raw headers of a request, names in lower case."""
    given = dict(headers)
    return Caller(
        users.of(given.get(b"x-user-id")),
        ASSIGNED.get(given.get(b"x-mlops-assigned", b"")),
        _count(given.get(b"x-mlops-rollout")),
        _count(given.get(b"x-mlops-step")),
        _request_id(given.get(b"x-request-id")),
        trace_id_of(given, headers),
    )


def _count(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) <= MAX_DIGITS else None


def _request_id(value: bytes | None) -> str | None:
    if not value or len(value) > MAX_REQUEST_ID_BYTES:
        return None
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else None
