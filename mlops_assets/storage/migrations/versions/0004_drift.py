"""Drift verdicts by day, and which sources were trained on together with labels from live use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "mlops"


def _when(name: str) -> sa.Column:
    moment = sa.DateTime(timezone=True)
    return sa.Column(name, moment, nullable=False, server_default=sa.text("clock_timestamp()"))


def upgrade() -> None:
    op.create_table(
        "drift_verdict",
        # The key's index, read backwards, also gives the newest days of a product.
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("release", sa.Integer, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("strength", sa.Double, nullable=False),
        sa.Column("drifted", ARRAY(sa.Text), nullable=False),
        sa.Column("verdict", JSONB, nullable=False),
        sa.Column("candidate_release", sa.Integer),
        sa.Column("candidate_status", sa.String),
        sa.Column("report_uri", sa.String),
        sa.Column("run_id", sa.String),
        _when("computed_at"),
        schema=SCHEMA,
    )
    # A verdict that says something is looked for every minute; days without one may lie between by the month.
    op.create_index(
        "drift_verdict_judged_idx",
        "drift_verdict",
        ["product", "day"],
        schema=SCHEMA,
        postgresql_where=sa.text("status IN ('ok', 'drifted')"),
    )
    op.create_table(
        "labelled_source",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("source_sha256", sa.CHAR(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("live_rows", sa.Integer, nullable=False),
        _when("created_at"),
        sa.ForeignKeyConstraint(
            ["product", "version"], [f"{SCHEMA}.dataset_version.product", f"{SCHEMA}.dataset_version.version"]
        ),
        schema=SCHEMA,
    )
    # Ratings are the many, actual values the few.
    op.create_index(
        "feedback_actual_price",
        "feedback",
        ["product", "at"],
        schema=SCHEMA,
        postgresql_where=sa.text("type = 'actual_price'"),
    )


def downgrade() -> None:
    op.drop_index("feedback_actual_price", "feedback", schema=SCHEMA)
    op.drop_table("labelled_source", schema=SCHEMA)
    op.drop_table("drift_verdict", schema=SCHEMA)
