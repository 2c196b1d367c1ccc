"""Whether a pipeline may be stored and run: every reason against it at once, each naming its stage.

Add a rule here when it is between fields or stages; `graph`, `source_text`, `parameters` and `dagster_cron` hold the
larger ones. Keep out shapes and limits of single fields (`spec`). Rules read the raw pipeline, so that one field of a
wrong type hides nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from mlops_assets.pipelines.dagster_cron import cron_fault, timezone_fault
from mlops_assets.pipelines.graph import Node, graph_problems, sorted_nodes
from mlops_assets.pipelines.parameters import declaration_faults
from mlops_assets.pipelines.problem import MAX_PROBLEMS, Problem, ProblemError, at_most, did_you_mean, label, place
from mlops_assets.pipelines.source_text import source_faults
from mlops_assets.pipelines.spec import Parameter, PipelineSpec, StageSpec
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.pipelines.structure import structure_problems

MAX_STAGES = 200
# Of all stages together: compiling takes seconds a megabyte, during which nothing else of the process runs.
MAX_SOURCES_BYTES = 1024 * 1024


def problems(spec: PipelineSpec | Mapping[str, Any]) -> tuple[Problem, ...]:
    """Every reason to refuse the pipeline, in the order of its stages; none if it is good."""
    return _examined(spec)[1]


def checked(spec: PipelineSpec | Mapping[str, Any]) -> PipelineSpec:
    """The pipeline as a spec. ProblemError: it is refused."""
    result, found = _examined(spec)
    if result is None or found:
        raise ProblemError(found)
    return result


def order_of(spec: PipelineSpec) -> tuple[StageSpec, ...]:
    """The stages in execution order: dependencies first, then `order`, then declaration. ProblemError: a bad graph."""
    nodes = [Node(stage.name, stage.order, stage.dependencies) for stage in spec.stages]
    found = graph_problems(nodes)
    if found:
        raise ProblemError(at_most(found))
    return tuple(spec.stages[i] for i in sorted_nodes(nodes))


def _examined(given: Any) -> tuple[PipelineSpec | None, tuple[Problem, ...]]:
    raw = given.model_dump(mode="json") if isinstance(given, PipelineSpec) else given
    if not isinstance(raw, dict):
        return None, (Problem(None, "", "a pipeline is a mapping with at least a name and stages"),)
    readable, found = structure_problems(raw)
    count = len(_list(raw.get("stages")))
    if count > MAX_STAGES:
        found.append(Problem(None, "stages", f"{count} stages; the limit is {MAX_STAGES}"))
    size = sum(len(source.encode("utf-8", "surrogatepass")) for source in _sources(raw))
    if size > MAX_SOURCES_BYTES:
        found.append(
            Problem(None, "stages", f"{size // 1024} KB of source; the limit is {MAX_SOURCES_BYTES // 1024} KB in all")
        )
    if not readable or count > MAX_STAGES or size > MAX_SOURCES_BYTES:
        return None, at_most(found)
    spec = None
    if not found:
        try:
            # From JSON, where strict still takes arrays and names of types, but no "3" for a number.
            spec = PipelineSpec.model_validate_json(json.dumps(raw), strict=True)
        except ValidationError as error:
            found += _shape_problems(raw, error)
    found += _pipeline_problems(raw)
    found += _stage_problems(raw)
    return spec, at_most(found)


def _shape_problems(raw: dict[str, Any], error: ValidationError) -> Iterator[Problem]:
    for entry in error.errors(include_url=False, include_input=False)[: MAX_PROBLEMS + 1]:
        path = _path(entry["loc"])
        message = entry["msg"].removeprefix("Value error, ")
        if entry["type"] == "extra_forbidden":
            model = StageSpec if path[0] == "stages" else PipelineSpec
            known = model.model_fields if len(path) in (1, 3) else ()
            message = f"unknown field{did_you_mean(str(path[-1]), known)}"
        yield Problem(*place(raw, path), message)


def _path(loc: tuple[str | int, ...]) -> list[str | int]:
    """Where pydantic saw an error, without what it adds: the kind of a function, the mark of a key."""
    return [
        part
        for before, part in zip((None, *loc), loc, strict=False)
        if part != "[key]" and not (before == "function" and str(part).startswith("by_"))
    ]


def _pipeline_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    schedule, timezone = raw.get("schedule"), raw.get("timezone")
    if isinstance(schedule, str) and (fault := cron_fault(schedule)):
        yield Problem(None, "schedule", fault)
    if isinstance(timezone, str) and (fault := timezone_fault(timezone)):
        yield Problem(None, "timezone", fault)
    parameters = raw.get("parameters")
    for name, declared in (parameters if isinstance(parameters, dict) else {}).items():
        try:
            parameter = Parameter.model_validate(declared)
        except ValidationError:
            continue  # told with the shapes
        if parameter.required and schedule is not None:
            yield Problem(
                None,
                f"parameters.{name}.required",
                "a schedule gives no parameters; give a default, which isn't required",
            )
        for field, fault in declaration_faults(parameter):
            yield Problem(None, f"parameters.{name}.{field}", fault)


def _stage_problems(raw: dict[str, Any]) -> Iterator[Problem]:
    stages = [stage for stage in _list(raw.get("stages")) if isinstance(stage, dict)]
    if isinstance(raw.get("stages"), (list, tuple)) and not stages:
        yield Problem(None, "stages", "a pipeline has at least one stage")
    for position, stage in enumerate(stages):
        name = label(stage, position)
        custom = stage.get("custom_name")
        if stage.get("stage_type") == StageType.CUSTOM and not (isinstance(custom, str) and custom.strip()):
            yield Problem(name, "custom_name", "a CUSTOM stage needs a custom_name")
        source, function = stage.get("source"), stage.get("function")
        if (source is None) == (function is None):
            both = "both" if source is not None else "neither"
            yield Problem(name, "source", f"give either source or function; this stage has {both}")
        if isinstance(source, str):
            for fault in source_faults(source, _texts(stage.get("dependencies"))):
                yield Problem(name, "source", fault)
    yield from graph_problems(list(_nodes(stages)))


def _sources(raw: dict[str, Any]) -> Iterator[str]:
    for stage in _list(raw.get("stages")):
        if isinstance(stage, dict) and isinstance(stage.get("source"), str):
            yield stage["source"]


def _nodes(stages: list[dict[str, Any]]) -> Iterator[Node]:
    for stage in stages:
        name, order = stage.get("name"), stage.get("order")
        if isinstance(name, str):
            whole = isinstance(order, int) and not isinstance(order, bool)
            yield Node(name, order if whole else None, _texts(stage.get("dependencies"))[: MAX_STAGES + 1])


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(text for text in _list(value) if isinstance(text, str))


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
