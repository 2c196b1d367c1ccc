"""Declared pipelines, their versions, and the files that their runs have left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, JSONB, UUID

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "mlops"
NOW = sa.text("clock_timestamp()")
MOMENT = sa.DateTime(timezone=True)


def _text(name: str, required: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=not required)


def _made() -> sa.Column[object]:
    return sa.Column("created_at", MOMENT, nullable=False, server_default=NOW)


def upgrade() -> None:
    op.create_table(
        "pipeline",
        sa.Column("id", UUID, primary_key=True),
        _text("name"),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("revision", "version")),
        sa.Column("deployed_version", sa.Integer),
        sa.Column("deployed_at", MOMENT),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("loaded_version", sa.Integer),
        sa.Column("loaded_active", sa.Boolean),
        _text("load_error", required=False),
        _text("created_by"),
        _made(),
        sa.Column("updated_at", MOMENT, nullable=False, server_default=NOW),
        sa.Column("deleted_at", MOMENT),
        schema=SCHEMA,
    )
    op.create_index(
        "pipeline_live_name_idx",
        "pipeline",
        ["name"],
        schema=SCHEMA,
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("pipeline_created_idx", "pipeline", ["created_at", "id"], schema=SCHEMA)
    op.create_table(
        "pipeline_version",
        sa.Column("pipeline_id", UUID, sa.ForeignKey(f"{SCHEMA}.pipeline.id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("digest", sa.CHAR(64), nullable=False),
        _text("created_by"),
        _made(),
        schema=SCHEMA,
    )
    op.create_foreign_key(
        "pipeline_deployed_version_fkey",
        "pipeline",
        "pipeline_version",
        ["id", "deployed_version"],
        ["pipeline_id", "version"],
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
    )
    op.create_table(
        "artifact",
        sa.Column("id", UUID, primary_key=True),
        sa.Column("pipeline_id", UUID, sa.ForeignKey(f"{SCHEMA}.pipeline.id"), nullable=False),
        sa.Column("pipeline_version", sa.Integer, nullable=False),
        *(_text(name) for name in ("run_id", "stage")),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("is_result", sa.Boolean, nullable=False),
        *(_text(name) for name in ("name", "type", "storage", "format")),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.CHAR(64), nullable=False),
        _text("type_name"),
        _text("uri", required=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("preview", JSONB, nullable=False),
        _made(),
        sa.Column("removed_at", MOMENT),
        schema=SCHEMA,
    )
    op.create_index("artifact_pipeline_idx", "artifact", ["pipeline_id", "created_at"], schema=SCHEMA)
    op.create_index("artifact_run_idx", "artifact", ["run_id", "stage"], schema=SCHEMA)
    op.create_index("artifact_created_idx", "artifact", ["created_at", "id"], schema=SCHEMA)
    op.create_index(
        "artifact_result_idx",
        "artifact",
        ["run_id", "stage"],
        schema=SCHEMA,
        unique=True,
        postgresql_where=sa.text("is_result"),
    )


def downgrade() -> None:
    op.drop_table("artifact", schema=SCHEMA)
    op.drop_constraint("pipeline_deployed_version_fkey", "pipeline", schema=SCHEMA)
    op.drop_table("pipeline_version", schema=SCHEMA)
    op.drop_table("pipeline", schema=SCHEMA)
