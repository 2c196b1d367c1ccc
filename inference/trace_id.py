"""Which trace a request belongs to: 32 hexadecimal digits that lead from the gateway to the log. Pure.

The client's own W3C `traceparent` if it sent one valid one, else the gateway's request id without its dashes, else a
random number. Add here another header that names a trace. Keep out what is told of a trace (`spans`). The id is only
ever a text of the log: a client may claim any, so nothing is looked up, counted or labelled by it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TRACEPARENT = b"traceparent"
REQUEST_ID = b"x-request-id"
SAMPLED = 0x01

# As strict as the gateway's tracer, so that both find the same trace: 55 bytes, no version but ff is refused.
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_REQUEST = re.compile(rb"([0-9a-f]{8})-([0-9a-f]{4})-([1-8][0-9a-f]{3})-([0-9a-f]{4})-([0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class Parent:
    """What a valid `traceparent` says: ids in hexadecimal digits, `sampled` if the trace is to be told."""

    trace_id: str
    span_id: str
    sampled: bool


def parent_of(given: bytes) -> Parent | None:
    """The parts of a `traceparent`; None unless it is valid."""
    found = _PARENT.fullmatch(given)
    if found is None:
        return None
    trace, span, flags = found.groups()
    return Parent(trace.decode(), span.decode(), bool(int(flags, 16) & SAMPLED))


def trace_id_of(given: Mapping[bytes, bytes], headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The trace of a request. `given` are its headers by name, `headers` all of them: two parents are none."""
    parent = given.get(TRACEPARENT)
    if parent is not None:
        found = _PARENT.fullmatch(parent)
        if found is not None and sum(name == TRACEPARENT for name, _ in headers) == 1:
            return found[1].decode()
    request = _REQUEST.fullmatch(given.get(REQUEST_ID, b""))
    return b"".join(request.groups()).decode() if request is not None else os.urandom(16).hex()
