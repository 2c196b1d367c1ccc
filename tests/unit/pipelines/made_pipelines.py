"""Small pipelines for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def stage(name: str, dependencies: Iterable[str] = (), **fields: Any) -> dict[str, Any]:
    """A raw stage whose `run` takes what it depends on."""
    needed = list(dependencies)
    source = f"def run({', '.join(dict.fromkeys(needed))}):\n    return 1\n"
    return {
        "name": name,
        "stage_type": "DATA_PREPROCESSING",
        **({"dependencies": needed} if needed else {}),
        **({} if "source" in fields or "function" in fields else {"source": source}),
        **fields,
    }


def pipeline(*stages: Any, **fields: Any) -> dict[str, Any]:
    """A raw pipeline of these stages."""
    return {"name": "made", "stages": list(stages), **fields}
