"""The ledger tells where a rollout stands; a release may be archived.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "mlops"
COLUMNS = ("rollout", "phase", "step", "paused", "previous", "started_at", "step_at", "phase_at", "drift_block", "key")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    added = (
        sa.Column("rollout", sa.Integer),
        sa.Column("phase", sa.String, nullable=False, server_default="done"),
        sa.Column("step", sa.Integer, nullable=False, server_default="0"),
        sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("previous", sa.Integer),
        sa.Column("started_at", moment),
        sa.Column("step_at", moment),
        sa.Column("phase_at", moment),
        sa.Column("drift_block", sa.String),
        sa.Column("key", sa.String),
    )
    for column in added:
        op.add_column("ledger", column, schema=SCHEMA)
    release = ["product", "version"]
    op.create_foreign_key(
        "ledger_product_previous_fkey",
        "ledger",
        "release",
        ["product", "previous"],
        release,
        source_schema=SCHEMA,
        referent_schema=SCHEMA,
    )
    op.create_unique_constraint("ledger_product_key_key", "ledger", ["product", "key"], schema=SCHEMA)
    op.create_index("ledger_product_rollout_idx", "ledger", ["product", "rollout", "seq"], schema=SCHEMA)
    op.add_column("release", sa.Column("archived_at", moment), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("release", "archived_at", schema=SCHEMA)
    op.drop_index("ledger_product_rollout_idx", "ledger", schema=SCHEMA)
    for column in reversed(COLUMNS):
        op.drop_column("ledger", column, schema=SCHEMA)
