"""Whether this installation takes a pipeline: what holds for every pipeline, and what its settings and products add.

Add a rule here when it depends on the installation. Keep out the others (`pipelines.validate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.pipelines.problem import Problem, ProblemError, at_most, label
from mlops_assets.pipelines.spec import PipelineSpec
from mlops_assets.pipelines.validate import checked


def accepted(raw: Any, parts: Parts) -> PipelineSpec:
    """The pipeline as a spec. ProblemError: every reason to refuse it."""
    try:
        spec, found = checked(raw), list[Problem]()
    except ProblemError as error:
        spec, found = None, list(error.problems)
    found += own_problems(raw, parts)
    if spec is None or found:
        raise ProblemError(at_most(found))
    return spec


def own_problems(raw: Any, parts: Parts) -> Iterator[Problem]:
    """What this installation alone has against a pipeline, whatever else is wrong with it."""
    if not isinstance(raw, Mapping):
        return
    name, stages = raw.get("name"), raw.get("stages")
    if isinstance(name, str) and name in parts.reserved:
        yield Problem(None, "name", f"{name!r} is the platform's own; take another name")
    if parts.settings.stage_network or not isinstance(stages, list):
        return
    for position, stage in enumerate(stages):
        if isinstance(stage, Mapping) and stage.get("network") is True:
            yield Problem(
                label(stage, position), "network", "stages get no network here; MLOPS_STAGE_NETWORK=true would allow it"
            )
