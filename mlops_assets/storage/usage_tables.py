"""The table of what each attempt of a stage used: time, memory, bytes.

Add a column here and in a migration. Keep out measuring (`runs.usage`) and what is asked of it
(`observability.usage.queries`).
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Double, Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from mlops_assets.storage.database import Base


class StageUsage(Base):
    """One attempt of a stage: a product's asset or a stage of a declared pipeline.

    `kind` is product, pipeline or platform; `product` the product's, pipeline's or platform's name. `outcome` is null
    while it goes, and stays null when the run's process ended without telling: the run's own status then says how.
    Bytes are those of read and write calls, from files and from what the machine keeps of them in memory.
    """

    __tablename__ = "stage_usage"
    __table_args__ = (
        Index("stage_usage_started_idx", "started_at"),
        Index("stage_usage_stage_idx", "kind", "product", "stage", "started_at"),
        Index("stage_usage_open_idx", "started_at", postgresql_where=sql("outcome IS NULL")),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    step_key: Mapped[str] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    product: Mapped[str]
    stage: Mapped[str]
    job: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    wall_seconds: Mapped[float | None] = mapped_column(Double)
    cpu_seconds: Mapped[float | None] = mapped_column(Double)
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    read_bytes: Mapped[int | None] = mapped_column(BigInteger)
    written_bytes: Mapped[int | None] = mapped_column(BigInteger)
