"""A stage's words become plain facts or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_assets.sandbox import told


@pytest.mark.parametrize("line", [b"\xff", b"5", b"null", b"[" * 100_000, b'{"a": 1', b"", b"{" * 5000, b"9" * 9000])
def test_nonsense_is_left_out(line: bytes) -> None:
    assert told.facts(line + b'\n{"kind": "x"}\n') == [{"kind": "x"}]


def test_what_no_database_takes_is_replaced() -> None:
    line = json.dumps({"a\ud800": ["\0b", float("nan"), float("-inf"), 1.5]}).encode()
    (fact,) = told.facts(line)
    assert fact == {"a?": ["\N{REPLACEMENT CHARACTER}b", None, None, 1.5]}
    assert json.loads(json.dumps(fact, allow_nan=False, ensure_ascii=False).encode()) == fact


@pytest.mark.parametrize("error", [None, 5, [], {"line": True}, {"line": "3", "type": [], "message": {}}])
def test_errors_of_any_shape_are_texts(error: object) -> None:
    status, described = told.failure({"status": {}, "error": error})
    assert (status, described.line) == ("failed", None)
    assert isinstance(described.type, str)
    assert isinstance(described.message, str)


def test_the_last_word_counts() -> None:
    facts: list[dict[str, Any]] = [
        {"kind": "failed"},
        {"kind": "artifact"},
        {"kind": "completed", "value": 1},
        {"kind": []},
    ]
    assert told.ending(facts) == facts[2]
    assert told.ending(facts[1:2]) is None
