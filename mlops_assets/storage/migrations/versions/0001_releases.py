"""Data versions, releases and the ledger of who serves."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "mlops"


def _created_at() -> sa.Column:
    return sa.Column(
        "created_at",
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=sa.text("clock_timestamp()"),
    )


def upgrade() -> None:
    op.create_table(
        "dataset_version",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.CHAR(64), nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("uri", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("sample", sa.Boolean, nullable=False),
        _created_at(),
        sa.UniqueConstraint("product", "sha256"),
        schema=SCHEMA,
    )
    op.create_table(
        "release",
        sa.Column("product", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("dataset_version", sa.Integer, nullable=False),
        sa.Column("uri", sa.String),
        sa.Column("manifest", JSONB),
        _created_at(),
        sa.UniqueConstraint("product", "run_id"),
        sa.ForeignKeyConstraint(
            ["product", "dataset_version"],
            [f"{SCHEMA}.dataset_version.product", f"{SCHEMA}.dataset_version.version"],
        ),
        schema=SCHEMA,
    )
    release = [f"{SCHEMA}.release.product", f"{SCHEMA}.release.version"]
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("product", sa.String, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("production", sa.Integer),
        sa.Column("candidate", sa.Integer),
        sa.Column("candidate_share", sa.Float, nullable=False),
        sa.Column("label", sa.String),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("details", JSONB, nullable=False),
        _created_at(),
        sa.UniqueConstraint("product", "seq"),
        sa.ForeignKeyConstraint(["product", "production"], release),
        sa.ForeignKeyConstraint(["product", "candidate"], release),
        schema=SCHEMA,
    )
    # Decisions are evidence: the database itself refuses to change or remove one.
    op.execute(
        f"CREATE FUNCTION {SCHEMA}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {SCHEMA}.ledger "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.refuse_change()"
    )


def downgrade() -> None:
    for table in ("ledger", "release", "dataset_version"):
        op.drop_table(table, schema=SCHEMA)
    op.execute(f"DROP FUNCTION {SCHEMA}.refuse_change()")
