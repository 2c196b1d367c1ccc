"""The platform's own tables in PostgreSQL, schema `mlops`, and the one way to open them.

Add a table here when a fact has its only truth in it; every table comes with an Alembic migration in
`migrations/`. Dagster's and MLflow's tables live in schemas of their own and are never touched from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    CHAR,
    Connection,
    DateTime,
    Double,
    Engine,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    create_engine,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateSchema

MIGRATIONS = Path(__file__).parent / "migrations"
SCHEMA = "mlops"
CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 30

NOW = sql("clock_timestamp()")


class Base(DeclarativeBase):
    """Registry of the platform's tables."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map = {datetime: DateTime(timezone=True), dict[str, Any]: JSONB}  # noqa: RUF012


class DatasetVersion(Base):
    """One distinct content of a product's source: number V<version>, hash, and where its rows are kept."""

    __tablename__ = "dataset_version"
    __table_args__ = (UniqueConstraint("product", "sha256"),)

    product: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(CHAR(64))
    rows: Mapped[int]
    uri: Mapped[str]
    source: Mapped[str]
    sample: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Release(Base):
    """One trained model that may serve: its number, files and manifest (`release.json`).

    A row without a ledger entry was reserved by a run that never finished; nothing reads it.
    """

    __tablename__ = "release"
    __table_args__ = (
        UniqueConstraint("product", "run_id"),
        ForeignKeyConstraint(
            ["product", "dataset_version"], ["mlops.dataset_version.product", "mlops.dataset_version.version"]
        ),
    )

    product: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str]
    dataset_version: Mapped[int]
    uri: Mapped[str | None]
    manifest: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    archived_at: Mapped[datetime | None]


class LedgerEntry(Base):
    """One decision: the whole serving state of a product after it, by whom and why. Only ever appended.

    (product, seq) is unique, so of two decisions made from the same state one loses and looks again. (product, key)
    is unique, so the same order given twice counts once.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        UniqueConstraint("product", "seq"),
        UniqueConstraint("product", "key"),
        Index("ledger_product_rollout_idx", "product", "rollout", "seq"),
        ForeignKeyConstraint(["product", "production"], ["mlops.release.product", "mlops.release.version"]),
        ForeignKeyConstraint(["product", "candidate"], ["mlops.release.product", "mlops.release.version"]),
        ForeignKeyConstraint(["product", "previous"], ["mlops.release.product", "mlops.release.version"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product: Mapped[str]
    seq: Mapped[int]
    event: Mapped[str]
    production: Mapped[int | None]
    candidate: Mapped[int | None]
    candidate_share: Mapped[float]
    rollout: Mapped[int | None]
    phase: Mapped[str]
    step: Mapped[int]
    paused: Mapped[bool]
    previous: Mapped[int | None]
    started_at: Mapped[datetime | None]
    step_at: Mapped[datetime | None]
    phase_at: Mapped[datetime | None]
    drift_block: Mapped[str | None]
    key: Mapped[str | None]
    label: Mapped[str | None]
    actor: Mapped[str]
    reason: Mapped[str]
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class DriftVerdict(Base):
    """One day of a product beside what its production release was trained on; a new run of the day replaces it.

    `verdict` is the whole of it as JSON; `status`, `strength` and `drifted` (columns, strongest first) repeat what is
    asked for often. `candidate_*` tell of the same day beside the candidate's own reference. `report_uri` is null
    when no full report was made or it was removed.
    """

    __tablename__ = "drift_verdict"
    __table_args__ = (
        Index("drift_verdict_judged_idx", "product", "day", postgresql_where=sql("status IN ('ok', 'drifted')")),
    )

    product: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    release: Mapped[int]
    status: Mapped[str]
    strength: Mapped[float] = mapped_column(Double)
    drifted: Mapped[list[str]] = mapped_column(ARRAY(Text))
    verdict: Mapped[dict[str, Any]]
    candidate_release: Mapped[int | None]
    candidate_status: Mapped[str | None]
    report_uri: Mapped[str | None]
    run_id: Mapped[str | None]
    computed_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ScoredMonth(Base):
    """One month of a product's records, scored; a new run of the month replaces it.

    `mode` is "production" (by `release`, whose training ended before the month unless `in_training`) or
    "compatibility" (by a forest fitted to all rows). `rows_sha256` tells whether the month's records changed since.
    `groups`: {column: {value: [records, anomalies]}}; `hours`: {"records" and "anomalies": 7 weekdays, Monday first,
    of 24 counts}. `low_score`: 1 % of the records score lower. Scores are null without records.
    """

    __tablename__ = "scored_month"

    product: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    release: Mapped[int | None]
    data_version: Mapped[int]
    rows_sha256: Mapped[str] = mapped_column(CHAR(64))
    in_training: Mapped[bool]
    records: Mapped[int]
    anomalies: Mapped[int]
    min_score: Mapped[float | None] = mapped_column(Double)
    max_score: Mapped[float | None] = mapped_column(Double)
    mean_score: Mapped[float | None] = mapped_column(Double)
    low_score: Mapped[float | None] = mapped_column(Double)
    groups: Mapped[dict[str, Any]]
    hours: Mapped[dict[str, Any]]
    file: Mapped[str]
    file_sha256: Mapped[str] = mapped_column(CHAR(64))
    run_id: Mapped[str | None]
    scored_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ScoredRecord(Base):
    """One of the lowest scores of a scored month, `place` 1 the lowest, with its reasons in words."""

    __tablename__ = "scored_record"
    __table_args__ = (
        ForeignKeyConstraint(
            ["product", "mode", "month"],
            [f"{SCHEMA}.scored_month.{name}" for name in ("product", "mode", "month")],
            ondelete="CASCADE",
        ),
    )

    product: Mapped[str] = mapped_column(primary_key=True)
    mode: Mapped[str] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=False))
    score: Mapped[float] = mapped_column(Double)
    reasons: Mapped[list[str]] = mapped_column(ARRAY(Text))
    record: Mapped[dict[str, Any]]


def make_schema(connection: Connection, name: str) -> None:
    """Make a schema that isn't there; a role that may not make any can go on where somebody else made it."""
    there = connection.scalar(sql("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": name})
    if there is None:
        connection.execute(CreateSchema(name, if_not_exists=True))


class Database:
    """The platform's database behind one engine. Opens no connection until it is used."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def connect(cls, url: str) -> Database:
        """Engine with a time limit on connecting and on every statement."""
        return cls(
            create_engine(
                url,
                pool_pre_ping=True,
                pool_size=2,
                max_overflow=8,
                connect_args={
                    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                    "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000} -c timezone=UTC",
                },
            )
        )

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session; the caller opens its transaction with `with session.begin():`."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def check(self) -> None:
        """Return if the database answers a statement. Raises SQLAlchemy's errors."""
        with self.session() as session:
            session.scalar(sql("SELECT 1"))

    def migrate(self) -> None:
        """Bring the schema to the newest version. Safe to call twice at once and while serving.

        Raises:
            NewerTablesError: it is beyond what this version of the platform knows; nothing is changed.
        """
        from alembic import command
        from alembic.config import Config

        from mlops_assets.storage import revisions

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self.engine.begin() as connection:
            connection.execute(sql("SELECT pg_advisory_xact_lock(hashtext('mlops.migrate'))"))
            make_schema(connection, SCHEMA)
            revisions.refuse_newer(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
