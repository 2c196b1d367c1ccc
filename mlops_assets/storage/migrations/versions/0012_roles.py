"""A day's partition can be made by a role that may only add to the log."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

FUNCTION = "mlops.ensure_prediction_day(date)"


def upgrade() -> None:
    """As its owner, who owns the table; nothing that a caller puts into the search path counts."""
    op.execute(f"ALTER FUNCTION {FUNCTION} SECURITY DEFINER SET search_path = pg_catalog, pg_temp")
    op.execute(f"REVOKE EXECUTE ON FUNCTION {FUNCTION} FROM PUBLIC")


def downgrade() -> None:
    op.execute(f"ALTER FUNCTION {FUNCTION} SECURITY INVOKER RESET search_path")
    op.execute(f"GRANT EXECUTE ON FUNCTION {FUNCTION} TO PUBLIC")
