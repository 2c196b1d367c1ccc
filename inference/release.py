"""The manifest of a release folder (`release.json`) and the proof that the folder holds what it says.

Add a field here when the export writes one that serving needs. Keep out where folders come from
(`model_store`) and what the model computes (`model`). Names in a manifest never reach a path unchecked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inference.settings import PREDICTION, SCORE, Module

MANIFEST = "release.json"
MODEL = "model.onnx"
MAX_MANIFEST_BYTES = 32 * 1024 * 1024

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$")]


class ReleaseError(RuntimeError):
    """A release can't be served; the message names the file or field and the cause."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Dataset(_Part):
    """The data version a release was trained on. `sample` rows were generated, not collected."""

    version: int
    sha256: str
    rows: int
    sample: bool


class FileEntry(_Part):
    """Size and SHA-256 of one file of the folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class ModelInput(_Part):
    """One ONNX input of shape [N, 1], fed from the model column of the same name."""

    name: str
    type: Literal["float", "string"]


class Target(_Part):
    """What is predicted. Answers are in `unit`, rounded to `decimals`."""

    column: str
    unit: str = ""
    decimals: int = Field(default=2, ge=0, le=10)


class SmokeCase(_Part):
    """A request of the hold-out and the answer that the exporter got for it."""

    request: dict[str, Any]
    expected: dict[str, Any]


class Manifest(_Part):
    """Format 1 of `release.json`. Unknown keys are kept out of sight, so an exporter may add some.

    `trained_until` is the newest month of the training rows, where rows have a time: "2022-12".
    """

    format: Literal[1]
    product: str
    version: int = Field(ge=0)
    created_at: datetime
    task: Literal["regression", "classification", "anomaly"]
    module: Module
    dataset: Dataset
    code_version: str = ""
    runs: Mapping[str, str | None] = Field(default_factory=dict)
    files: dict[FileName, FileEntry]
    inputs: tuple[ModelInput, ...] = Field(min_length=1)
    outputs: tuple[str, ...] = Field(min_length=1)
    classes: tuple[str | int, ...] = ()
    target: Target
    trained_until: str | None = Field(default=None, pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    vocabulary: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    smoke: tuple[SmokeCase, ...] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _has_model(cls, value: dict[str, FileEntry]) -> dict[str, FileEntry]:
        if MODEL not in value:
            raise ValueError(f"{MODEL} is not listed")
        return value

    @field_validator("outputs")
    @classmethod
    def _known_outputs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value[0] not in ("estimate", "label", SCORE):
            raise ValueError(f"the first output must be estimate, label or {SCORE}")
        return value

    @model_validator(mode="after")
    def _whole_detector(self) -> Manifest:
        if (self.task == "anomaly") != (self.outputs[0] == SCORE):
            raise ValueError(f"task {self.task} doesn't go with the output {self.outputs[0]}")
        if self.task != "anomaly":
            return self
        from mlops_assets.explanations.explainer import REASONS_FILE

        if PREDICTION not in self.outputs:
            raise ValueError(f"outputs: a detector has {SCORE} and {PREDICTION}")
        if REASONS_FILE not in self.files:
            raise ValueError(f"files: {REASONS_FILE} is not listed")
        return self


def read_manifest(folder: Path) -> Manifest:
    """The checked manifest of a release folder. Raises ReleaseError."""
    path = folder / MANIFEST
    raw = _read(path, MAX_MANIFEST_BYTES)
    try:
        return Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise broken_file(path, error) from error


def broken_file(path: Path, error: ValidationError) -> ReleaseError:
    """What to raise for a JSON file of a release that isn't as it should be: its first problem, without its values."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return ReleaseError(f"{path}: {where}: {first['msg']}")


def manifest_digest(folder: Path) -> str:
    """SHA-256 of `release.json`; since that lists every file's hash, it identifies the whole release."""
    return hashlib.sha256(_read(folder / MANIFEST, MAX_MANIFEST_BYTES)).hexdigest()


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Every listed file, each proven to have the listed size and hash. Raises ReleaseError.

    The bytes that were hashed are the bytes that are returned, so nothing can change in between.
    """
    files = {}
    for name, entry in manifest.files.items():
        data = _read(folder / name, entry.bytes)
        if len(data) != entry.bytes:
            raise ReleaseError(f"{folder / name}: {len(data)} bytes, the manifest says {entry.bytes}")
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ReleaseError(f"{folder / name}: its SHA-256 is not the one in the manifest")
        files[name] = data
    return files


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror or error}") from error
    if len(data) > limit:
        raise ReleaseError(f"{path}: more than the expected {limit} bytes")
    return data
