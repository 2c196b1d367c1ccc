"""The prediction log: predictions by day, feedback on them, failed requests, and their counts."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "mlops"

# Ids are UUIDs version 7, which begin with 48 bits of Unix milliseconds: a day of ids is a range of them.
# Rows that came before their day's partition was there wait in the default one and are moved.
# ATTACH instead of CREATE … PARTITION OF: it doesn't shut out those who read the log meanwhile.
_ENSURE_DAY = """
CREATE FUNCTION mlops.ensure_prediction_day(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  name text := 'prediction_' || to_char(day, 'YYYYMMDD');
  low uuid := mlops.first_id(day);
  high uuid := mlops.first_id(day + 1);
BEGIN
  IF to_regclass('mlops.' || name) IS NOT NULL THEN
    RETURN false;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('mlops.prediction_log'));
  IF to_regclass('mlops.' || name) IS NOT NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('CREATE TABLE mlops.%I (LIKE mlops.prediction INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
  EXECUTE format(
    'WITH moved AS (DELETE FROM mlops.prediction_default WHERE id >= %L AND id < %L RETURNING *) '
    'INSERT INTO mlops.%I SELECT * FROM moved', low, high, name);
  EXECUTE format(
    'ALTER TABLE mlops.prediction ATTACH PARTITION mlops.%I FOR VALUES FROM (%L) TO (%L)', name, low, high);
  RETURN true;
END $$
"""

_FIRST_ID = """
CREATE FUNCTION mlops.first_id(day date) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex((extract(epoch FROM day::timestamp) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$
"""

# Bucket b holds latencies up to 0.05 * 1.1^b ms; 160 is some 210 s.
_LATENCY_BUCKET = """
CREATE FUNCTION mlops.latency_bucket(ms double precision) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT least(160, ceil(ln(greatest(ms, 0.05) / 0.05) / ln(1.1::double precision)))::smallint
$$
"""

# The value under `estimate`, else the only number at the top of the answer; null if there is no such one.
_NUMERIC_ANSWER = """
CREATE FUNCTION mlops.numeric_answer(answer jsonb) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN count(*) = 1 AND max(abs(value::numeric)) < 1e308 THEN max(value::numeric)::double precision END
  FROM jsonb_each(answer)
  WHERE jsonb_typeof(value) = 'number'
    AND (key = 'estimate' OR jsonb_typeof(answer->'estimate') IS DISTINCT FROM 'number')
$$
"""

# NOT EXISTS instead of DISTINCT ON: a filter on product and rollout reaches the table's index.
_FEEDBACK_CURRENT = """
CREATE VIEW mlops.feedback_current AS
SELECT f.* FROM mlops.feedback AS f
WHERE NOT EXISTS (
  SELECT 1 FROM mlops.feedback AS later
  WHERE later.prediction_id = f.prediction_id AND later.type = f.type AND (later.at, later.id) > (f.at, f.id)
)
"""

# What `feedback_current` was when `watermark` was the newest batch.
_FEEDBACK_UNTIL = """
CREATE FUNCTION mlops.feedback_until(watermark bigint) RETURNS SETOF mlops.feedback LANGUAGE sql STABLE AS $$
  SELECT f.* FROM mlops.feedback AS f
  WHERE f.batch <= watermark AND NOT EXISTS (
    SELECT 1 FROM mlops.feedback AS later
    WHERE later.prediction_id = f.prediction_id AND later.type = f.type AND (later.at, later.id) > (f.at, f.id)
      AND later.batch <= watermark
  )
$$
"""


def _when(name: str, **options: Any) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, **options)


def _text(name: str, *, required: bool = True, key: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text, nullable=not required, primary_key=key)


def _int(name: str, *, required: bool = True, key: bool = False) -> sa.Column:
    return sa.Column(name, sa.Integer, nullable=not required, primary_key=key, autoincrement=False)


def _count(name: str) -> sa.Column:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _assignment() -> list[sa.Column]:
    return [_text("assigned", required=False), _int("rollout", required=False), _int("step", required=False)]


def _log_tables() -> None:
    op.create_table(
        "prediction",
        sa.Column("id", sa.Uuid, primary_key=True),
        _text("product"),
        _when("at"),
        _text("variant"),
        _int("version"),
        *_assignment(),
        _text("user_hash", required=False),
        sa.Column("features", JSONB, sa.CheckConstraint("jsonb_typeof(features) = 'object'"), nullable=False),
        sa.Column("output", JSONB, sa.CheckConstraint("jsonb_typeof(output) = 'object'"), nullable=False),
        sa.Column("latency_ms", sa.REAL, nullable=False),
        _text("request_id", required=False),
        sa.Column("sample", sa.Boolean, nullable=False),
        _count("batch"),
        schema=SCHEMA,
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index("prediction_product_at", "prediction", ["product", "at"], schema=SCHEMA)
    # Batches rise with the rows' place on the disk: a BRIN index finds the newest ones and costs next to nothing.
    op.execute(f"CREATE INDEX prediction_batch ON {SCHEMA}.prediction USING brin (batch) WITH (autosummarize = on)")
    op.execute(f"CREATE TABLE {SCHEMA}.prediction_default PARTITION OF {SCHEMA}.prediction DEFAULT")
    op.create_table(
        "feedback",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("prediction_id", sa.Uuid, nullable=False),
        _text("product"),
        _when("at"),
        _text("type"),
        sa.Column("value", DOUBLE_PRECISION),
        _text("text", required=False),
        _text("variant"),
        _int("version"),
        *_assignment(),
        _text("user_hash", required=False),
        _when("predicted_at"),
        sa.Column("estimate", DOUBLE_PRECISION),
        _count("batch"),
        schema=SCHEMA,
    )
    op.create_index("feedback_rollout", "feedback", ["product", "rollout", "type"], schema=SCHEMA)
    op.create_index("feedback_prediction", "feedback", ["prediction_id", "type"], schema=SCHEMA)
    op.create_index("feedback_product_at", "feedback", ["product", "at"], schema=SCHEMA)
    op.create_table(
        "feedback_waiting",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("prediction_id", sa.Uuid, nullable=False, index=True),
        _text("product"),
        _when("at"),
        _text("type"),
        sa.Column("value", DOUBLE_PRECISION),
        _text("text", required=False),
        _when("first_seen", server_default=sa.text("clock_timestamp()")),
        schema=SCHEMA,
    )
    op.create_table(
        "request_failure",
        _text("request_id", key=True),
        _when("at"),
        _text("product"),
        *_assignment(),
        _int("status"),
        _text("flags", required=False),
        _count("batch"),
        schema=SCHEMA,
    )
    op.create_index("request_failure_rollout", "request_failure", ["product", "rollout"], schema=SCHEMA)
    op.create_index("request_failure_at", "request_failure", ["product", "at"], schema=SCHEMA)


def _count_tables() -> None:
    op.create_table(
        "traffic",
        _text("product", key=True),
        _int("rollout", key=True),
        _int("step", key=True),
        sa.Column("day", sa.Date, primary_key=True),
        _text("assigned", key=True),
        _text("variant", key=True),
        _int("version", key=True),
        sa.Column("latency_bucket", sa.SmallInteger, primary_key=True, autoincrement=False),
        _count("requests"),
        _count("anonymous"),
        sa.Column("sum_ms", DOUBLE_PRECISION, nullable=False),
        _when("first_at"),
        _when("last_at"),
        schema=SCHEMA,
    )
    op.create_table(
        "exposure",
        _text("product", key=True),
        _int("rollout", key=True),
        _int("step", key=True),
        _text("user_hash", key=True),
        _text("assigned"),
        _count("first_batch"),
        schema=SCHEMA,
    )
    op.create_table(
        "units",
        _text("product", key=True),
        _int("rollout", key=True),
        _int("step", key=True),
        _text("assigned", key=True),
        _count("n"),
        schema=SCHEMA,
    )
    # How many rows an hour has in the log and the newest of their batches, so that a late one is seen at once.
    op.create_table(
        "log_hour",
        _text("product", key=True),
        sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
        _count("predictions"),
        _count("feedback"),
        _count("max_batch"),
        schema=SCHEMA,
    )
    op.create_table(
        "log_export",
        _text("product", key=True),
        sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
        _count("predictions"),
        _count("feedback"),
        _text("uri"),
        _count("max_batch"),
        _when("exported_at", server_default=sa.text("clock_timestamp()")),
        schema=SCHEMA,
    )


def upgrade() -> None:
    op.execute(f"CREATE SEQUENCE {SCHEMA}.batch AS bigint")
    _log_tables()
    _count_tables()
    for statement in (_FIRST_ID, _ENSURE_DAY, _LATENCY_BUCKET, _NUMERIC_ANSWER, _FEEDBACK_CURRENT, _FEEDBACK_UNTIL):
        op.execute(statement)


def downgrade() -> None:
    op.execute(f"DROP VIEW {SCHEMA}.feedback_current")
    for function in (
        "feedback_until(bigint)",
        "numeric_answer(jsonb)",
        "latency_bucket(double precision)",
        "ensure_prediction_day(date)",
        "first_id(date)",
    ):
        op.execute(f"DROP FUNCTION {SCHEMA}.{function}")
    counts = ["log_export", "log_hour", "units", "exposure", "traffic"]
    for table in (*counts, "request_failure", "feedback_waiting", "feedback", "prediction"):
        op.drop_table(table, schema=SCHEMA)
    op.execute(f"DROP SEQUENCE {SCHEMA}.batch")
