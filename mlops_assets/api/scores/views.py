"""Scored months as the API shows them. Pure: rows in, schemas out.

Add here how a new fact is shown. Keep out reading (`records`, `batch.store`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from mlops_assets.api.scores.schemas import MonthDetail, MonthView, ProductScores, RecordView
from mlops_assets.batch.months import of_day
from mlops_assets.storage.database import ScoredMonth, ScoredRecord


def month_view(month: ScoredMonth, dagster_url: str) -> MonthView:
    """A month without its records."""
    return MonthView(**_facts(month, dagster_url))


def product_view(newest: ScoredMonth, months: int, dagster_url: str) -> ProductScores:
    """A product by its newest month."""
    return ProductScores.model_validate(
        {
            "product": newest.product,
            "mode": newest.mode,
            "months": months,
            "newest": month_view(newest, dagster_url),
            "report": f"scores/{quote(newest.product, safe='')}/report",
        }
    )


def detail_view(month: ScoredMonth, lowest: Iterable[ScoredRecord], dagster_url: str) -> MonthDetail:
    """A month with its lowest scores."""
    name = of_day(month.month)
    path = f"api/v1/scores/{quote(month.product, safe='')}/{name}/records.csv"
    return MonthDetail.model_validate(
        _facts(month, dagster_url)
        | {
            "product": month.product,
            "mode": month.mode,
            "groups": month.groups,
            "hours": month.hours,
            "lowest": [_record_view(record) for record in lowest],
            "records_csv": f"{path}?mode={month.mode}",
        }
    )


def _facts(month: ScoredMonth, dagster_url: str) -> dict[str, Any]:
    same = (
        *("records", "anomalies", "release", "in_training", "data_version", "min_score", "max_score", "mean_score"),
        *("low_score", "scored_at", "run_id"),
    )
    return {name: getattr(month, name) for name in same} | {
        "month": of_day(month.month),
        "rate": rate(month),
        "run_url": f"{dagster_url}/runs/{month.run_id}" if month.run_id else None,
    }


def rate(month: ScoredMonth) -> float | None:
    """Share of anomalies, 0 to 1; None without records."""
    return month.anomalies / month.records if month.records else None


def _record_view(record: ScoredRecord) -> RecordView:
    return RecordView(
        place=record.place, at=record.at, score=record.score, reasons=list(record.reasons), record=record.record
    )
