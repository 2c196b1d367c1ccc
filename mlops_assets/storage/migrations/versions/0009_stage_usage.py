"""What each attempt of a stage used: time, memory, bytes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "mlops"
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "stage_usage",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("step_key", sa.String, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("kind", "product", "stage", "job")),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("outcome", sa.String),
        *(sa.Column(name, sa.Double) for name in ("wall_seconds", "cpu_seconds")),
        *(sa.Column(name, sa.BigInteger) for name in ("peak_memory_bytes", "read_bytes", "written_bytes")),
        sa.CheckConstraint("kind IN ('product', 'pipeline', 'platform')", name="stage_usage_kind_check"),
        sa.CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="stage_usage_ended_check"),
        schema=SCHEMA,
    )
    op.create_index("stage_usage_started_idx", "stage_usage", ["started_at"], schema=SCHEMA)
    op.create_index("stage_usage_stage_idx", "stage_usage", ["kind", "product", "stage", "started_at"], schema=SCHEMA)
    op.create_index(
        "stage_usage_open_idx",
        "stage_usage",
        ["started_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("outcome IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("stage_usage", schema=SCHEMA)
