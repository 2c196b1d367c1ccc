"""The table of the hourly reports on the platform's health.

Add a column here and in a migration. Keep out what a report says and who is told (`observability.health.store`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from mlops_assets.storage.database import Base


class KeptReport(Base):
    """One report. `status` is healthy or degraded, `report` the whole of it.

    `open` are the issues that people were told of and that aren't over yet, as of this report. `run_id` is the run
    that made it, which makes one at most.
    """

    __tablename__ = "health_report"
    __table_args__ = (Index("health_report_made_idx", "made_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    made_at: Mapped[datetime]
    status: Mapped[str]
    report: Mapped[dict[str, Any]]
    open: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    run_id: Mapped[str | None] = mapped_column(unique=True)
