"""Who may use the control API: issued tokens, what was done by whom, and answers kept by idempotency key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "mlops"
NOW = sa.text("clock_timestamp()")


def _text(name: str, required: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String, nullable=not required)


def _hash(name: str, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.CHAR(64), nullable=False, primary_key=primary_key)


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "api_token",
        sa.Column("id", sa.String, primary_key=True),
        _text("name"),
        _text("role"),
        _hash("secret_sha256"),
        sa.Column("created_at", moment, nullable=False, server_default=NOW),
        *(sa.Column(name, moment) for name in ("expires_at", "revoked_at", "last_used_at")),
        schema=SCHEMA,
    )
    op.create_index(
        "api_token_active_name_idx",
        "api_token",
        ["name"],
        schema=SCHEMA,
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("at", moment, nullable=False, server_default=NOW),
        *(_text(name) for name in ("caller", "who", "role", "kind", "action", "object", "outcome")),
        _text("request_id", required=False),
        sa.Column("details", JSONB, nullable=False),
        schema=SCHEMA,
    )
    for column in ("who", "object"):
        op.create_index(f"audit_{column}_idx", "audit", [column, "id"], schema=SCHEMA)
    op.execute(
        """
        CREATE FUNCTION mlops.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the audit is append-only'; END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON mlops.audit
        FOR EACH STATEMENT EXECUTE FUNCTION mlops.audit_is_append_only()
        """
    )
    op.create_table(
        "answered_request",
        _hash("id", primary_key=True),
        *(_text(name) for name in ("caller", "route", "key")),
        _hash("request_sha256"),
        sa.Column("status", sa.Integer, nullable=False),
        _text("body"),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("created_at", moment, nullable=False, server_default=NOW),
        schema=SCHEMA,
    )
    op.create_index("answered_request_created_idx", "answered_request", ["created_at"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("answered_request", schema=SCHEMA)
    op.drop_table("audit", schema=SCHEMA)
    op.execute("DROP FUNCTION mlops.audit_is_append_only")
    op.drop_table("api_token", schema=SCHEMA)
