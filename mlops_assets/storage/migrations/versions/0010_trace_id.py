"""The trace that an answer belongs to, in the prediction log.

A column without a default changes no row: it is there at once in every day, however large. Days that are made later
copy it from the table. Rows of services that don't tell a trace yet have none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "mlops"


def upgrade() -> None:
    op.add_column("prediction", sa.Column("trace_id", sa.Text), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("prediction", "trace_id", schema=SCHEMA)
