"""What a stage said on its pipe, read as a stranger's words: whatever it is, it becomes plain facts or nothing.

Keep out what the facts mean for the run (run.py) and the files they name (collect.py).
"""

from __future__ import annotations

import json
import math
from typing import Any

from mlops_assets.sandbox.order import StageError, Status

_OWN_STATUSES: tuple[Status, ...] = ("failed", "unstorable", "killed_memory", "output_too_large")
_TYPE, _MESSAGE, _TRACEBACK = 200, 4_000, 64_000


def facts(content: bytes) -> list[dict[str, Any]]:
    """The objects among the lines, without what no database or JSON takes: NUL, half characters, infinity."""
    found = []
    for line in content.splitlines():
        try:
            fact = _clean(json.loads(line))
        except (ValueError, RecursionError):
            continue
        if isinstance(fact, dict):
            found.append(fact)
    return found


def ending(told: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The last fact that says how the stage ended; None when it didn't get that far."""
    return next((fact for fact in reversed(told) if fact.get("kind") in ("completed", "failed")), None)


def failure(fact: dict[str, Any]) -> tuple[Status, StageError]:
    """The status and the error that a stage told of."""
    told = fact.get("error")
    error = told if isinstance(told, dict) else {}
    line = error.get("line")
    status: Status = next((known for known in _OWN_STATUSES if known == fact.get("status")), "failed")
    return status, StageError(
        type=str(error.get("type"))[:_TYPE],
        message=str(error.get("message"))[:_MESSAGE],
        traceback=str(error.get("traceback", ""))[:_TRACEBACK],
        line=line if type(line) is int else None,
    )


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
