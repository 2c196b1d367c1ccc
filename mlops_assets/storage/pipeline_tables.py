"""The tables of declared pipelines, their versions, and the files that their runs have left.

Add a column here and in a migration. Keep out reading and writing (`pipelines.store`, `pipelines.artifacts`). Runs
and their stages are in Dagster's own tables and nowhere else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CHAR, BigInteger, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from mlops_assets.storage.database import NOW, SCHEMA, Base


class Pipeline(Base):
    """One declared pipeline. A name is free again when its pipeline is deleted; versions and runs are kept.

    `revision` counts every change and is the ETag; `version` is the newest, `deployed_version` the one that runs
    start with (null: none). `loaded_*` tell what the code location shows, `load_error` why it shows something else.
    """

    __tablename__ = "pipeline"
    __table_args__ = (
        Index("pipeline_live_name_idx", "name", unique=True, postgresql_where=sql("deleted_at IS NULL")),
        Index("pipeline_created_idx", "created_at", "id"),
        ForeignKeyConstraint(
            ["id", "deployed_version"],
            [f"{SCHEMA}.pipeline_version.pipeline_id", f"{SCHEMA}.pipeline_version.version"],
            use_alter=True,
            name="pipeline_deployed_version_fkey",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    revision: Mapped[int]
    version: Mapped[int]
    deployed_version: Mapped[int | None]
    deployed_at: Mapped[datetime | None]
    active: Mapped[bool]
    loaded_version: Mapped[int | None]
    loaded_active: Mapped[bool | None]
    load_error: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    deleted_at: Mapped[datetime | None]


class PipelineVersion(Base):
    """One version of a pipeline as it was declared; never changed. `spec` is `PipelineSpec` as JSON."""

    __tablename__ = "pipeline_version"

    pipeline_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.pipeline.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # As text, unlike other JSON: parameters stay in the order in which their author wrote them.
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    digest: Mapped[str] = mapped_column(CHAR(64))
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Artifact(Base):
    """One file that a stage left: its result (`is_result`), or what it wrote with `context.artifact`.

    `format` is the sandbox's word for how the file is to be read, `uri` where it is (null for a result of None, and
    once retention has removed the file at `removed_at`). `preview` holds rows, columns, shape, length or text.
    """

    __tablename__ = "artifact"
    __table_args__ = (
        Index("artifact_pipeline_idx", "pipeline_id", "created_at"),
        Index("artifact_run_idx", "run_id", "stage"),
        Index("artifact_created_idx", "created_at", "id"),
        Index(
            "artifact_result_idx",
            "run_id",
            "stage",
            unique=True,
            postgresql_where=sql("is_result"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    pipeline_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.pipeline.id"))
    pipeline_version: Mapped[int]
    run_id: Mapped[str]
    stage: Mapped[str]
    attempt: Mapped[int]
    is_result: Mapped[bool]
    name: Mapped[str]
    type: Mapped[str]
    storage: Mapped[str]
    format: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(CHAR(64))
    type_name: Mapped[str]
    uri: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB)
    preview: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    removed_at: Mapped[datetime | None]
