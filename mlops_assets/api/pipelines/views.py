"""Pipelines, versions and templates as they are told: rows in, schemas out.

Add a field here and in `schemas`. Keep out reading and changing rows (`pipelines.store`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlops_assets.api.pipelines.next_run import NextRuns
from mlops_assets.api.pipelines.schemas import (
    ParameterView,
    PipelineDetail,
    PipelineView,
    ProblemView,
    StageSummary,
    TemplateView,
    VersionView,
)
from mlops_assets.pipelines import store
from mlops_assets.pipelines.graph import Node, sorted_nodes
from mlops_assets.pipelines.problem import Problem
from mlops_assets.pipelines.spec import Parameter
from mlops_assets.pipelines.store import Head
from mlops_assets.pipelines.templates import Template
from mlops_assets.storage.pipeline_tables import Pipeline, PipelineVersion

_next_runs = NextRuns()


def pipeline_view(pipeline: Pipeline, head: Head, now: datetime | None = None) -> PipelineView:
    """One pipeline. `now` is when `next_run_at` counts from."""
    return PipelineView(**_fields(pipeline, head, now))


def detail_view(pipeline: Pipeline, head: Head, shown: PipelineVersion, now: datetime | None = None) -> PipelineDetail:
    """One pipeline with the spec of one of its versions."""
    spec = store.spec_of(shown).model_dump(mode="json")
    return PipelineDetail(
        **_fields(pipeline, head, now), spec_version=shown.version, spec=spec, stages=stage_summaries(spec["stages"])
    )


def version_view(version: PipelineVersion, pipeline: Pipeline) -> VersionView:
    """One version; needs no spec."""
    return VersionView(
        version=version.version,
        digest=version.digest,
        created_by=version.created_by,
        created_at=version.created_at,
        deployed=version.version == pipeline.deployed_version,
    )


def problem_view(problem: Problem) -> ProblemView:
    """One reason to refuse a pipeline."""
    return ProblemView(stage=problem.stage, field=problem.field, message=problem.message)


def template_view(template: Template) -> TemplateView:
    """One template, with what a form for it needs."""
    stages = template.pipeline.get("stages")
    return TemplateView(
        name=template.name,
        title=template.title,
        description=template.description,
        parameters=[_parameter_view(name, parameter) for name, parameter in template.parameters.items()],
        stages=stage_summaries(stages if isinstance(stages, list) else []),
    )


def stage_summaries(stages: Sequence[Any]) -> list[StageSummary]:
    """The stages of a spec in JSON that was accepted once, in execution order."""
    nodes = [Node(stage["name"], stage.get("order"), tuple(stage.get("dependencies", ()))) for stage in stages]
    return [_stage_summary(stages[position]) for position in sorted_nodes(nodes)]


def _stage_summary(stage: Mapping[str, Any]) -> StageSummary:
    return StageSummary(
        name=stage["name"],
        stage_type=stage["stage_type"],
        custom_name=stage.get("custom_name"),
        dependencies=list(stage.get("dependencies", ())),
    )


def _parameter_view(name: str, parameter: Parameter) -> ParameterView:
    return ParameterView(
        name=name,
        type=parameter.type,
        default=parameter.default,
        required=parameter.required,
        description=parameter.description,
        choices=None if parameter.choices is None else list(parameter.choices),
        minimum=parameter.minimum,
        maximum=parameter.maximum,
    )


def _fields(pipeline: Pipeline, head: Head, now: datetime | None) -> dict[str, Any]:
    names = ("name", "active", "revision", "version", "deployed_version", "deployed_at", "load_error")
    more = ("created_by", "created_at", "updated_at")
    of_head = ("title", "description", "owner", "schedule", "timezone", "stage_count")
    return {
        "id": str(pipeline.id),
        **{name: getattr(pipeline, name) for name in (*names, *more)},
        **{name: getattr(head, name) for name in of_head},
        "tags": dict(head.tags),
        "next_run_at": _next_run(pipeline, head, now or datetime.now(UTC)),
        "loaded": _loaded(pipeline),
    }


def _next_run(pipeline: Pipeline, head: Head, now: datetime) -> datetime | None:
    """By what is deployed, whatever the newest version says."""
    if not pipeline.active or head.deployed_schedule is None or head.deployed_timezone is None:
        return None
    return _next_runs.after(head.deployed_schedule, head.deployed_timezone, now)


def _loaded(pipeline: Pipeline) -> bool:
    return (
        pipeline.deployed_version is not None
        and pipeline.load_error is None
        and (pipeline.loaded_version, pipeline.loaded_active) == (pipeline.deployed_version, pipeline.active)
    )
