"""Pipelines of one stage, for tests of what a stage does."""

from __future__ import annotations

import textwrap
from typing import Any

from tests.unit.pipelines.made_pipelines import pipeline, stage

STAGE = "work"


def one_stage(name: str, source: str, **fields: Any) -> dict[str, Any]:
    """A raw pipeline of one stage, `STAGE`, with these fields. Its source may be indented."""
    kind = {"stage_type": "CUSTOM", "custom_name": "test"}
    return pipeline(stage(STAGE, source=textwrap.dedent(source), **kind, **fields), name=name)
