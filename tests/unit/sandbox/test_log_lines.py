"""What a stage prints becomes lines, however it is written and however much it is."""

from __future__ import annotations

import json

from mlops_assets.sandbox.context import LOG_MARK
from mlops_assets.sandbox.log_lines import LINE_BYTES, LogLines


def texts(lines: LogLines, *blocks: bytes) -> list[str]:
    return [line.text for block in blocks for line in lines.feed(block)] + [line.text for line in lines.finish()]


def test_lines_are_put_together_from_pieces() -> None:
    whole = "grün\n日本\nlast".encode()
    assert texts(LogLines(1), *(whole[i : i + 1] for i in range(len(whole)))) == ["grün", "日本", "last"]


def test_logged_lines_keep_their_level_and_forged_ones_do_no_harm() -> None:
    record = LOG_MARK + json.dumps(["ERROR", "two\nlines"]).encode() + b"\n"
    lines = LogLines(1).feed(record + LOG_MARK + b"{}\n" + LOG_MARK + b'["<b>", 5]\n' + b"\xff\0\n")
    assert [(line.level, line.text) for line in lines[:2]] == [("ERROR", "two"), ("ERROR", "lines")]
    assert {line.level for line in lines[2:]} == {"INFO"}
    assert not any("\0" in line.text for line in lines)


def test_too_much_is_cut_with_a_note_and_counted() -> None:
    lines = LogLines(0.001)
    seen = texts(lines, b"a" * 900 + b"\n", b"b" * 900 + b"\n", b"c" * 5_000)
    assert seen[0] == "a" * 900
    assert seen[1].startswith("b")
    assert "cut after 0.001 MB" in seen[2]
    assert "dropped" in seen[-1]
    assert str(901 + 901 + 5_000 - 1_000) in seen[-1]
    assert not any(text.startswith("c") for text in seen)


def test_a_line_without_end_is_cut() -> None:
    seen = texts(LogLines(1), b"x" * (LINE_BYTES * 2 + 5))
    assert "".join(seen) == "x" * (LINE_BYTES * 2 + 5)
    assert max(map(len, seen)) <= LINE_BYTES


def test_too_many_short_lines_are_cut_too() -> None:
    lines = LogLines(0.001)
    seen = texts(lines, b"a\n" * 30, b"b\n" * 60, b"c\n")
    assert seen[:50] == ["a"] * 30 + ["b"] * 20
    assert "cut" in seen[50]
    assert str(2 * 41) in seen[51]
