"""What a declared pipeline says: frozen, strict, with the defaults in one place.

Add a field here when a pipeline's author should be able to set something. These models hold shapes and limits of
single fields; rules between fields and stages are in `validate`, which names the stage, so make a spec with
`validate.checked`. Keep out anything that acts. Times are seconds.
"""

from __future__ import annotations

import hashlib
import json
import keyword
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, JsonValue, StringConstraints, Tag

from mlops_assets.pipelines.stage_types import StageType

RESERVED_TAGS = ("dagster/", ".dagster/", "mlops/")
RESERVED_ENVIRONMENT = ("LD_", "MLOPS_", "DAGSTER_")


def _no_keyword(name: str) -> str:
    if keyword.iskeyword(name):
        raise ValueError(f"{name} is a keyword of Python")
    if name == "context":
        raise ValueError("context is the name of run's own argument")
    return name


def _inside(file: str) -> str:
    if ".." in file.split("/"):
        raise ValueError("a file is named from the folder down, without ..")
    return file


def _free_tag(name: str) -> str:
    if name.startswith(RESERVED_TAGS):
        raise ValueError(f"tags that begin with {' or '.join(RESERVED_TAGS)} are the platform's own")
    return name


def _free_variable(name: str) -> str:
    if name.startswith(RESERVED_ENVIRONMENT):
        raise ValueError(f"variables that begin with {' or '.join(RESERVED_ENVIRONMENT)} are the platform's own")
    return name


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
StageName = Annotated[Name, AfterValidator(_no_keyword)]
FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Title = Annotated[str, StringConstraints(max_length=200)]
Prose = Annotated[str, StringConstraints(max_length=10_000)]
File = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./ -]*\.py$", max_length=300), AfterValidator(_inside)
]
# https, ssh or a local file; no credentials, no helper transports (`ext::`), nothing git could take for an option.
Repository = Annotated[
    str,
    StringConstraints(
        pattern=r"^(https://[A-Za-z0-9][^@\s]*|(ssh://)?[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][^@\s]*|file:///[^\s]+)$",
        max_length=500,
    ),
]
TagName = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9_.-]{1,63}/)?[A-Za-z0-9_.-]{1,63}$"),
    AfterValidator(_free_tag),
]
TagValue = Annotated[str, StringConstraints(max_length=256)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"), AfterValidator(_free_variable)]


class Spec(BaseModel):
    """Base of every declared thing: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Parameter(Spec):
    """What a run may be given. `minimum` and `maximum` limit integers and numbers; a required one has no default."""

    type: Literal["string", "integer", "number", "boolean", "json"]
    default: JsonValue = None
    required: bool = False
    description: Prose = ""
    choices: tuple[JsonValue, ...] | None = Field(default=None, min_length=1, max_length=200)
    minimum: int | float | None = None
    maximum: int | float | None = None


class FunctionByPath(Spec):
    """A function that the platform's environment can import: `package.module:name`."""

    path: Annotated[
        str,
        StringConstraints(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$", max_length=300
        ),
    ]


class FunctionInFile(Spec):
    """A function in a Python file below the platform's folder of functions."""

    file: File
    name: FunctionName


class FunctionInRepository(Spec):
    """A function in a file of a git repository, at one full commit: what ran can always be read again."""

    repository: Repository
    branch: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}$")] = "main"
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
    file: File
    name: FunctionName


def _kind_of_function(given: Any) -> str:
    keys = given.keys() if isinstance(given, dict) else set(type(given).model_fields if isinstance(given, Spec) else ())
    if "repository" in keys or "commit" in keys:
        return "by_repository"
    return "by_path" if "path" in keys else "by_file"


Function = Annotated[
    Annotated[FunctionByPath, Tag("by_path")]
    | Annotated[FunctionInFile, Tag("by_file")]
    | Annotated[FunctionInRepository, Tag("by_repository")],
    Discriminator(_kind_of_function),
]


class StageLimits(Spec):
    """What one try of a stage may use: memory, CPU time of all its processes, bytes written and printed together."""

    memory_mb: int = Field(default=2048, ge=64, le=1_048_576)
    cpu_seconds: int = Field(default=3600, ge=1, le=604_800)
    output_mb: int = Field(default=1024, ge=1, le=1_048_576)


class StageSpec(Spec):
    """One stage. `source` defines `run`, whose arguments are the stages it depends on and, if it likes, `context`.

    `order` decides between stages that could run at the same time, and may not contradict the dependencies.
    `retry_delay` is the time before the first retry; `image` is kept for stages in containers. Without `network` a
    stage reaches nothing but its files; with it, all that this machine does, if the installation allows that.
    """

    name: StageName
    stage_type: StageType
    custom_name: Title | None = None
    order: int | None = Field(default=None, ge=0, le=1_000_000)
    dependencies: tuple[Name, ...] = Field(default=(), max_length=200)
    source: str | None = None
    function: Function | None = None
    parameters: dict[Name, JsonValue] = Field(default_factory=dict)
    config: dict[str, JsonValue] = Field(default_factory=dict)
    retry_count: int = Field(default=0, ge=0, le=10)
    retry_delay: float = Field(default=10.0, ge=0, le=3600)
    timeout_seconds: int = Field(default=3600, ge=1, le=604_800)
    limits: StageLimits = StageLimits()
    environment: dict[Variable, str] = Field(default_factory=dict, max_length=100)
    network: bool = False
    image: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:@-]{0,299}$")] | None = None


class PipelineSpec(Spec):
    """A pipeline as its author declared it. `schedule` is a cron expression of five fields in `timezone`."""

    name: Name
    title: Title | None = None
    description: Prose = ""
    owner: Annotated[str, StringConstraints(max_length=200)] | None = None
    schedule: Annotated[str, StringConstraints(max_length=200)] | None = None
    timezone: Annotated[str, StringConstraints(max_length=100)] = "UTC"
    active: bool = True
    parameters: dict[Name, Parameter] = Field(default_factory=dict, max_length=200)
    config: dict[str, JsonValue] = Field(default_factory=dict)
    tags: dict[TagName, TagValue] = Field(default_factory=dict, max_length=50)
    stages: tuple[StageSpec, ...]
    timeout_seconds: int = Field(default=3600, ge=1, le=604_800)


def canonical(spec: PipelineSpec) -> str:
    """The spec as JSON that is the same for equal specs: every field, keys sorted, no spaces."""
    return json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(spec: PipelineSpec) -> str:
    """SHA-256 of the canonical JSON, in hex: two versions are the same exactly if their digests are."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()
