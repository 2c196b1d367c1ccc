"""What stages leave, made without running any: files in a folder, as the sandbox hands them over."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from mlops_assets.pipelines.artifacts import Attempt
from mlops_assets.pipelines.stage_types import StageType
from mlops_assets.sandbox import values
from mlops_assets.sandbox.order import Format, StageError, StageOutcome, StoredValue, WrittenArtifact
from mlops_assets.storage.database import Database
from mlops_assets.storage.pipeline_tables import Pipeline


def made_pipeline(database: Database, name: str = "made") -> UUID:
    """A pipeline's row, without versions; its id."""
    pipeline = Pipeline(id=uuid4(), name=name, revision=1, version=1, active=True, created_by="test")
    with database.session() as session, session.begin():
        session.add(pipeline)
    return pipeline.id


def attempt(pipeline: UUID, stage: str = "prepare", number: int = 1, **fields: Any) -> Attempt:
    """An attempt of a stage in a run of its own, unless the run is given."""
    kind = fields.pop("stage_type", StageType.DATA_PREPROCESSING)
    run_id = fields.pop("run_id", str(uuid4()))
    return Attempt(pipeline, 1, run_id, stage, kind, number, **fields)


def stored(folder: Path, value: Any, *, text: bool = False) -> StoredValue:
    """A value in a file, as a stage stores it."""
    folder.mkdir(parents=True, exist_ok=True)
    told = values.dump(value, str(folder), uuid4().hex, "__stage__", text=text)
    path = folder / told["file"] if told["file"] else None
    content = path.read_bytes() if path else b""
    if path:
        path.chmod(0o600)
    digest = hashlib.sha256(content).hexdigest()
    return StoredValue(told["format"], path, len(content), digest, told["type_name"], told["preview"])


def forged(folder: Path, form: Format, content: bytes) -> StoredValue:
    """A file that a stage wrote itself and says is of this format."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid4().hex}.{values.SUFFIXES[form]}"
    path.write_bytes(content)
    return StoredValue(form, path, len(content), hashlib.sha256(content).hexdigest(), "pandas.core.frame.DataFrame")


def written(name: str, value: StoredValue, type: str = "OTHER", metadata: Mapping[str, Any] | None = None) -> Any:
    """An artifact beside the result."""
    return WrittenArtifact(name, type, dict(metadata or {}), value)


def outcome(result: StoredValue | None, *artifacts: WrittenArtifact) -> StageOutcome:
    """How an attempt ended: completed if there is a result."""
    error = None if result is not None else StageError("ValueError", "it failed")
    status = "completed" if result is not None else "failed"
    return StageOutcome(status, error, result, artifacts, 0, 1.0, 0.5, 1_000_000, None, None)
