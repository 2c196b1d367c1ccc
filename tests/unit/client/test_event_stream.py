"""Server-sent events, however the bytes arrive."""

from __future__ import annotations

import json

import pytest

from mlops_assets.client import ApiError
from mlops_assets.client.event_stream import MAX_MESSAGE, Message, messages

ODD = "a\u2028b\x0bc\x0c\x1c\x85é😀"
STREAM = (
    ": hello\n\n"
    "retry: 1500\n"
    'event: run\r\ndata: {"a":\r\ndata:  1}\r\nid: 7\r\n\r\n'
    "event: log\rdata: " + json.dumps(ODD, ensure_ascii=False) + "\r\r"
    "data\n\n"
    "event: nothing\n\n"
    "id: 8\nid: with\0nul\nunknown: x\ndata:x:y\n\n"
    "event: end\ndata: cut"
).encode()
EXPECTED = [
    Message("run", '{"a":\n 1}', "7", 1.5),
    Message("log", json.dumps(ODD, ensure_ascii=False), "7", 1.5),
    Message("message", "", "7", 1.5),
    Message("message", "x:y", "8", 1.5),
]


def test_events_are_the_same_wherever_the_bytes_are_cut() -> None:
    assert list(messages([STREAM])) == EXPECTED
    assert list(messages(STREAM[i : i + 1] for i in range(len(STREAM)))) == EXPECTED
    for place in range(len(STREAM)):
        assert list(messages([STREAM[:place], STREAM[place:]])) == EXPECTED


def test_what_is_no_text_is_replaced() -> None:
    assert [m.data for m in messages([b"data: \xff\xfe\n\n"])] == ["\ufffd\ufffd"]


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"data: " + b"x" * 65_536 + b"\n"])
def test_an_event_without_an_end_does_not_fill_the_memory(piece: bytes) -> None:
    with pytest.raises(ApiError, match="larger"):
        list(messages(piece for _ in range(2 * MAX_MESSAGE // len(piece))))
