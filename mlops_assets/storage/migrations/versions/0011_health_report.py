"""Hourly reports on the platform's health, and which of their issues people were told of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "mlops"


def upgrade() -> None:
    op.create_table(
        "health_report",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("report", JSONB, nullable=False),
        sa.Column("open", JSONB, nullable=False),
        sa.Column("run_id", sa.String, unique=True),
        sa.CheckConstraint("status IN ('healthy', 'degraded')", name="health_report_status_check"),
        schema=SCHEMA,
    )
    op.create_index("health_report_made_idx", "health_report", ["made_at"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("health_report", schema=SCHEMA)
