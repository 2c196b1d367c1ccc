"""Scored months: their figures and their oddest records, for dashboards and to know what is scored already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "mlops"

# The value under `estimate` or `anomaly_score`, else the only number at the top of the answer; null without one.
_NUMERIC_ANSWER = """
CREATE OR REPLACE FUNCTION mlops.numeric_answer(answer jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN count(*) = 1 AND max(abs(value::numeric)) < 1e308 THEN max(value::numeric)::double precision END
  FROM jsonb_each(answer)
  WHERE jsonb_typeof(value) = 'number'
    AND (
      key IN ('estimate', 'anomaly_score')
      OR (
        jsonb_typeof(answer->'estimate') IS DISTINCT FROM 'number'
        AND jsonb_typeof(answer->'anomaly_score') IS DISTINCT FROM 'number'
      )
    )
$$
"""
_NUMERIC_ANSWER_BEFORE = """
CREATE OR REPLACE FUNCTION mlops.numeric_answer(answer jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN count(*) = 1 AND max(abs(value::numeric)) < 1e308 THEN max(value::numeric)::double precision END
  FROM jsonb_each(answer)
  WHERE jsonb_typeof(value) = 'number'
    AND (key = 'estimate' OR jsonb_typeof(answer->'estimate') IS DISTINCT FROM 'number')
$$
"""


def upgrade() -> None:
    op.create_table(
        "scored_month",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("mode", sa.String, primary_key=True),
        sa.Column("month", sa.Date, primary_key=True),
        sa.Column("release", sa.Integer),
        sa.Column("data_version", sa.Integer, nullable=False),
        sa.Column("rows_sha256", sa.CHAR(64), nullable=False),
        sa.Column("in_training", sa.Boolean, nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("anomalies", sa.Integer, nullable=False),
        *(sa.Column(f"{name}_score", sa.Double) for name in ("min", "max", "mean", "low")),
        sa.Column("groups", JSONB, nullable=False),
        sa.Column("hours", JSONB, nullable=False),
        sa.Column("file", sa.String, nullable=False),
        sa.Column("file_sha256", sa.CHAR(64), nullable=False),
        sa.Column("run_id", sa.String),
        sa.Column(
            "scored_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "scored_record",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("mode", sa.String, primary_key=True),
        sa.Column("month", sa.Date, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        # Local time of the record, as its data set tells it.
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("reasons", ARRAY(sa.Text), nullable=False),
        sa.Column("record", JSONB, nullable=False),
        sa.ForeignKeyConstraint(
            ["product", "mode", "month"],
            [f"{SCHEMA}.scored_month.{name}" for name in ("product", "mode", "month")],
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    op.execute(_NUMERIC_ANSWER)


def downgrade() -> None:
    op.execute(_NUMERIC_ANSWER_BEFORE)
    op.drop_table("scored_record", schema=SCHEMA)
    op.drop_table("scored_month", schema=SCHEMA)
