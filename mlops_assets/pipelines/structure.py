"""Whether a value is plain JSON of bearable size, found without recursion before anything else reads it.

Add here what every stored value must keep. Keep out what a pipeline means (`validate`). What YAML shares by aliases
counts as often as it is used, so a small text that unfolds to gigabytes is refused early.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mlops_assets.pipelines.problem import MAX_PROBLEMS, Problem, place

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 50
MAX_VALUES = 100_000
INTEGERS = range(-(2**63), 2**63)

Path = tuple[str | int, ...]


class TooMuchError(ValueError):
    """A value is too large or too deep to be looked at any further."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def structure_problems(raw: Any, max_bytes: int = MAX_BYTES) -> tuple[bool, list[Problem]]:
    """Whether the value may be looked at further, and what in it is not JSON that a database keeps.

    Refused: other types than JSON's, keys that are no text, numbers that aren't finite or need more than 64 bits, the
    character NUL and half surrogate pairs. `max_bytes` counts texts in UTF-8 and one byte a value.
    """
    found: list[Problem] = []
    try:
        for path, message in _faults(raw, max_bytes):
            found.append(Problem(*place(raw, path), message))
            if len(found) > MAX_PROBLEMS:
                return False, found
    except TooMuchError as error:
        return False, [*found, Problem(*place(raw, error.path), str(error))]
    return True, found


def _faults(raw: Any, max_bytes: int) -> Iterator[tuple[Path, str]]:
    left, values = max_bytes, MAX_VALUES
    waiting: list[tuple[Path, Any]] = [((), raw)]
    while waiting:
        path, value = waiting.pop()
        values -= 1
        if len(path) > MAX_DEPTH:
            raise TooMuchError(path[:4], f"nested deeper than {MAX_DEPTH}")
        # A list's places are spent before they are looked at: shared by aliases, it may hold itself a million times.
        left -= _bytes(value)
        if left < 0:
            raise TooMuchError((), f"larger than {max_bytes // 1024} KB")
        if values < 0:
            raise TooMuchError((), f"more than {MAX_VALUES} values")
        if isinstance(value, dict):
            for key in value:
                fault = _text_fault(key) if isinstance(key, str) else f"the key {key!r:.80} is no text"
                if fault is not None:
                    yield path, fault
            waiting.extend(((*path, str(key)), inner) for key, inner in reversed(value.items()))
        elif isinstance(value, (list, tuple)):
            waiting.extend(((*path, i), value[i]) for i in reversed(range(len(value))))
        elif (fault := _scalar_fault(value)) is not None:
            yield path, fault


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, dict):
        return len(value) + sum(_bytes(key) for key in value)
    return len(value) if isinstance(value, (list, tuple)) else 1


def _scalar_fault(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, int):
        return None if value in INTEGERS else "the number needs more than 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "the number is not finite"
    return f"{type(value).__name__} is no JSON value"


def _text_fault(text: str) -> str | None:
    if "\x00" in text:
        return "the text holds the character NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the text holds half of a surrogate pair"
    return None
