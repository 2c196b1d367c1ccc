"""Scored months for tests, put into the real tables: one month each with groups, hours and its lowest records."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from mlops_assets.storage.database import Database, ScoredMonth, ScoredRecord

PRODUCT = "traffic_anomalies"
DAY, HOUR = 5, 23  # Saturday, 23:00 to 24:00: where these anomalies are


def month(
    first: str,
    records: int = 1000,
    anomalies: int = 20,
    *,
    product: str = PRODUCT,
    mode: str = "production",
    release: int | None = 1,
    in_training: bool = False,
    groups: dict[str, dict[str, list[int]]] | None = None,
    file: str = "",
    file_sha256: str = "0" * 64,
    run_id: str | None = None,
) -> ScoredMonth:
    """One month by its name; "2023-07" has scores from -0.05 to 0.16, or none without records."""
    empty = [[0] * 24 for _ in range(7)]
    everywhere, odd = [list(day) for day in empty], [list(day) for day in empty]
    everywhere[DAY][HOUR], odd[DAY][HOUR] = records, anomalies
    low, high, mean, one_percent = (-0.05, 0.16, 0.11, 0.01) if records else (None,) * 4
    return ScoredMonth(
        product=product, mode=mode, month=date.fromisoformat(f"{first}-01"), release=release, data_version=3,
        rows_sha256="a" * 64, in_training=in_training, records=records, anomalies=anomalies,
        min_score=low, max_score=high, mean_score=mean, low_score=one_percent,
        groups=groups or {}, hours={"records": everywhere, "anomalies": odd},
        file=file or f"{mode}/{first}/release-1.parquet", file_sha256=file_sha256, run_id=run_id,
    )  # fmt: skip


def record(scored: ScoredMonth, place: int, score: float, at: datetime | None = None) -> ScoredRecord:
    """One of a month's lowest records."""
    told: dict[str, Any] = {"weather_condition": "SNOW", "num_units": 9}
    when = at or datetime.combine(scored.month, datetime.min.time()).replace(day=1 + place, hour=HOUR)
    return ScoredRecord(
        product=scored.product, mode=scored.mode, month=scored.month, place=place, at=when, score=score,
        reasons=["9 vehicles, usually 2", "snow"], record=told,
    )  # fmt: skip


def put(database: Database, *rows: ScoredMonth | ScoredRecord) -> None:
    """Keep them, months before their records."""
    with database.session() as session, session.begin():
        session.add_all([row for row in rows if isinstance(row, ScoredMonth)])
        session.flush()
        session.add_all([row for row in rows if isinstance(row, ScoredRecord)])
