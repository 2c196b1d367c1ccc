"""Rejected lines are kept once, with the reason, and what can be saved is saved."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from inference.rejected import Rejected, repaired


def kept(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


def test_a_line_is_kept_once_and_its_content_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "rejected"
    with caplog.at_level(logging.INFO):
        for store in (Rejected(folder), Rejected(folder)):
            for _ in range(2):
                store.add("homes/segment", 7, "DataError (22P02)", 'bad: "private"', b'{"private":\xff}')
    assert kept(folder) == [{"offset": 7, "reason": 'bad: "private"', "line": '{"private":\\xff}'}]
    assert "DataError (22P02)" in caplog.text
    assert "private" not in caplog.text


def test_the_folder_does_not_grow_for_ever(tmp_path: Path) -> None:
    store = Rejected(tmp_path, limit_bytes=300)
    for offset in range(50):
        store.add("homes/segment", offset, "kind", "reason", b"x" * 40)
    assert 0 < len(kept(tmp_path)) < 5


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a":"x\\u0000y"}', {"a": "x\ufffdy"}),
        (b'{"a":["\\ud800z",{"b\\u0000":1}]}', {"a": ["\ufffdz", {"b\ufffd": 1}]}),
        (b'{"a":NaN,"b":-Infinity}', {"a": None, "b": None}),
    ],
)
def test_what_jsonb_cannot_hold_is_replaced(line: bytes, expected: dict[str, object]) -> None:
    mended = repaired(line)
    assert mended is not None
    assert json.loads(mended) == expected


@pytest.mark.parametrize(
    "line", [b'{"a":"\\\\u0000"}', b'{"a":1}', b"[1]", b"not json", b'{"a":', b"\xff", b"[" * 9999]
)
def test_anything_else_is_left_as_it_is(line: bytes) -> None:
    assert repaired(line) is None
