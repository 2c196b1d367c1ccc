"""What the run and artifact routes take and give. All of runs and stages is read from Dagster's own records.

Add a field here when a page or a script needs to know it; `mlops_assets.client` and the pages read these names. Times
are UTC, durations seconds, memory bytes.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from mlops_assets.pipelines.spec import TagName, TagValue
from mlops_assets.pipelines.stage_types import ArtifactType, StageType
from mlops_assets.pipelines.statuses import RunStatus as RunStatus
from mlops_assets.pipelines.statuses import StageStatus as StageStatus


class Trigger(StrEnum):
    """What started a run. A run from the Dagster UI is MANUAL."""

    MANUAL = "MANUAL"
    SCHEDULED = "SCHEDULED"
    API = "API"
    WEBHOOK = "WEBHOOK"


class RunOrder(BaseModel):
    """What a run is started with. `environment` is a label that stages see as `context.environment`."""

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, Any] = Field(default_factory=dict)
    environment: Annotated[str, StringConstraints(max_length=100, pattern=r"^[^\x00]*$")] | None = None
    tags: dict[TagName, TagValue] = Field(default_factory=dict, max_length=50)
    # Kept as a tag of the run, whose length in bytes PostgreSQL's index limits.
    notes: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")] = ""
    trigger: Literal["API", "MANUAL", "WEBHOOK"] = "API"


class RunView(BaseModel):
    """One run. `error` is the first failed stage's message in short; `retry_of` the run that this one takes up."""

    id: str
    pipeline_id: str
    pipeline: str
    version: int
    status: RunStatus
    trigger: Trigger
    triggered_by: str
    parameters: dict[str, Any]
    environment: str | None
    tags: dict[str, str]
    notes: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_seconds: float | None
    error: str | None
    retry_of: str | None


class StageErrorView(BaseModel):
    """Why the newest attempt failed; `line` is in the stage's own source."""

    type: str
    message: str
    traceback: str
    line: int | None


class StageRunView(BaseModel):
    """One stage of a run: its newest attempt (from 1; 0 before the first). Resources are null until it ended."""

    name: str
    stage_type: StageType
    status: StageStatus
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    bytes_read: int | None
    bytes_written: int | None
    exit_code: int | None
    error: StageErrorView | None
    artifacts: list[str]


class RunDetail(RunView):
    """A run with its stages in execution order. `dagster_url` is its page in Dagster."""

    stages: list[StageRunView]
    succeeded: int
    failed: int
    dagster_url: str


class RunPage(BaseModel):
    """Runs, newest first unless asked; give `next_cursor` as `cursor` to read on (null: no more)."""

    items: list[RunView]
    total: int
    next_cursor: str | None


class LogLineView(BaseModel):
    """One line, `number` from 1 within its attempt."""

    number: int
    at: datetime
    level: str
    text: str


class StageLine(LogLineView):
    """A line with the stage and the attempt that it is of."""

    stage: str
    attempt: int


class StageLog(BaseModel):
    """Lines of one attempt of a stage; `ended` once no more will come. Read on with `after` = the last number."""

    stage: str
    attempt: int
    lines: list[LogLineView]
    ended: bool


class ArtifactView(BaseModel):
    """One file that a stage left. `location` is null for a result of None and once retention has removed the file."""

    id: str
    pipeline_id: str
    pipeline: str
    pipeline_version: int
    run_id: str
    stage: str
    attempt: int
    is_result: bool
    name: str
    type: ArtifactType
    storage: Literal["LOCAL", "S3", "GCS", "AZURE"]
    format: str
    size: int
    sha256: str
    type_name: str
    location: str | None
    metadata: dict[str, Any]
    preview: dict[str, Any]
    created_at: datetime
    removed_at: datetime | None


class ArtifactPage(BaseModel):
    """Artifacts that fit, and how many there are in all."""

    items: list[ArtifactView]
    total: int
    limit: int
    offset: int


class ArtifactPreview(BaseModel):
    """What can be shown of an artifact: the first rows of a table, a text's beginning, or where its image is.

    `kind` "none" says why in `reason`. Cells are text, numbers, booleans or null.
    """

    kind: Literal["table", "text", "image", "none"]
    columns: list[str] = Field(default_factory=list)
    rows: list[list[Any]] = Field(default_factory=list)
    total_rows: int | None = None
    text: str = ""
    truncated: bool = False
    image: str | None = None
    reason: str = ""


class RunCounts(BaseModel):
    """Runs by status. `success_rate` is completed / (completed + failed), null without either."""

    total: int
    by_status: dict[RunStatus, int]
    success_rate: float | None


class PipelineCounts(BaseModel):
    """Pipelines that aren't deleted."""

    total: int
    active: int
    paused: int
    deployed: int
    scheduled: int


class ArtifactCounts(BaseModel):
    """Artifacts whose file is there."""

    total: int
    bytes: int
    by_type: dict[ArtifactType, int]


class Statistics(BaseModel):
    """All of it at a glance."""

    pipelines: PipelineCounts
    runs: RunCounts
    runs_last_24_hours: RunCounts
    artifacts: ArtifactCounts
