"""Notices: what people are told, through which channels, and how far the sources have been read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "mlops"
TABLES = ("notice", "notice_group", "notice_delivery", "notice_channel", "notice_cursor", "service_probe")


def _text(name: str, required: bool = True) -> sa.Column:
    return sa.Column(name, sa.String, nullable=not required)


def _when(name: str, required: bool = True) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not required)


def _count(name: str) -> sa.Column:
    return sa.Column(name, sa.Integer, nullable=False)


def _notice() -> sa.ForeignKey:
    return sa.ForeignKey(f"{SCHEMA}.notice.id")


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        _text("kind"),
        _text("product", required=False),
        _text("subject"),
        _text("severity"),
        _text("title"),
        _text("body"),
        _text("link", required=False),
        sa.Column("key", sa.String, nullable=False, unique=True),
        _text("group"),
        _when("at"),
        _when("noted_at"),
        _text("outcome", required=False),
        schema=SCHEMA,
    )
    op.create_index("notice_open_idx", "notice", ["id"], schema=SCHEMA, postgresql_where=sa.text("outcome IS NULL"))
    op.create_table(
        "notice_group",
        sa.Column("name", sa.String, primary_key=True),
        _when("since"),
        _when("until"),
        _text("severity"),
        sa.Column("last_id", sa.Integer, _notice(), nullable=False),
        _when("last_at"),
        _count("counted"),
        schema=SCHEMA,
    )
    op.create_table(
        "notice_delivery",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("notice_id", sa.Integer, _notice(), nullable=False),
        _text("channel"),
        _text("state"),
        _when("created_at"),
        _when("settled_at", required=False),
        _text("message", required=False),
        sa.UniqueConstraint("notice_id", "channel"),
        schema=SCHEMA,
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index("notice_waiting_idx", "notice_delivery", ["channel"], schema=SCHEMA, postgresql_where=waiting)
    op.create_table(
        "notice_channel",
        sa.Column("name", sa.String, primary_key=True),
        _count("tries"),
        _when("failing_since", required=False),
        _when("next_try", required=False),
        _text("last_error", required=False),
        _when("last_sent", required=False),
        _when("busy_until", required=False),
        schema=SCHEMA,
    )
    op.create_table("notice_cursor", sa.Column("source", sa.String, primary_key=True), _text("position"), schema=SCHEMA)
    op.create_table(
        "service_probe",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("healthy", sa.Boolean, nullable=False),
        _count("failures"),
        _count("successes"),
        _when("down_since", required=False),
        _when("asked_at"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema=SCHEMA)
