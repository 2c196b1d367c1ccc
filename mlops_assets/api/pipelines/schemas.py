"""What the pipeline routes take and give: pipelines, versions, problems, templates.

Add a field here when a page or a script needs to know it; `mlops_assets.client` and the pages read these names. Keep
out how things are found and told. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlops_assets.pipelines.stage_types import StageType


class StageSummary(BaseModel):
    """One stage of the graph."""

    name: str
    stage_type: StageType
    custom_name: str | None
    dependencies: list[str]


class PipelineView(BaseModel):
    """One pipeline. `version` is the newest, `deployed_version` the one that runs start with (null: none).

    `loaded` tells whether Dagster shows what is deployed; `load_error` why it doesn't. `next_run_at` is null without a
    schedule, while paused and while nothing is deployed. `revision` is in the ETag.
    """

    id: str
    name: str
    title: str | None
    description: str
    owner: str | None
    active: bool
    schedule: str | None
    timezone: str
    next_run_at: datetime | None
    tags: dict[str, str]
    stage_count: int
    revision: int
    version: int
    deployed_version: int | None
    deployed_at: datetime | None
    loaded: bool
    load_error: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class PipelineDetail(PipelineView):
    """A pipeline with one version's spec (the newest unless asked) and its stages in execution order."""

    spec_version: int
    spec: dict[str, Any]
    stages: list[StageSummary]


class PipelinePage(BaseModel):
    """Pipelines that fit, and how many there are in all."""

    items: list[PipelineView]
    total: int
    limit: int
    offset: int


class VersionView(BaseModel):
    """One version; `digest` is the SHA-256 of its canonical spec."""

    version: int
    digest: str
    created_by: str
    created_at: datetime
    deployed: bool


class Versions(BaseModel):
    """Every version, newest first."""

    items: list[VersionView]


class DeployOrder(BaseModel):
    """Which version to deploy; the newest without one. An older one is a rollback."""

    model_config = ConfigDict(extra="forbid")

    version: int | None = Field(default=None, ge=1, le=2**31 - 1)


class ProblemView(BaseModel):
    """One reason to refuse a pipeline; `stage` is null where it is in none, `field` "" where all of it is meant."""

    stage: str | None
    field: str
    message: str


class Validation(BaseModel):
    """Whether a pipeline would be taken; `order` are its stages in execution order if it would."""

    valid: bool
    problems: list[ProblemView]
    order: list[str]


class ParameterView(BaseModel):
    """A parameter of a pipeline or a template, for a form."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "json"]
    default: Any
    required: bool
    description: str
    choices: list[Any] | None
    minimum: float | int | None
    maximum: float | int | None


class TemplateView(BaseModel):
    """A pipeline to start from, with what has to be filled in."""

    name: str
    title: str
    description: str
    parameters: list[ParameterView]
    stages: list[StageSummary]


class Templates(BaseModel):
    """Every template, by name."""

    items: list[TemplateView]


class RenderOrder(BaseModel):
    """A name for the new pipeline, and the template's parameters."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=200)
    parameters: dict[str, Any] = Field(default_factory=dict)


class Rendered(BaseModel):
    """The pipeline that a template makes, as a spec and as YAML; nothing is stored."""

    spec: dict[str, Any]
    yaml: str
