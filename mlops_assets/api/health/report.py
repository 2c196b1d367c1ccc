"""GET /api/v1/health/report: the newest hourly report on the platform, whole, for whoever may read.

Keep out what everybody may know (`routes`, `live`) and how reports are made (`observability.health.judge`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from mlops_assets.api.auth import Viewer
from mlops_assets.api.problems import answers
from mlops_assets.observability.health import store
from mlops_assets.observability.health.issues import HealthReport
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.storage.database import Database

NONE_YET = "no health report has been made yet; one is made every hour, or now by running the job platform_health"


class NumberedReport(HealthReport):
    """A report with its number, its age, whether the next one should have come, and the thresholds it is judged by."""

    id: int
    age_seconds: float
    late: bool
    policy: HealthPolicy


def health_report_routes(database: Database, policy: HealthPolicy) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/api/v1/health", tags=["health"], dependencies=[Viewer])

    @router.get("/report", responses=answers(401, 403, 404, 429, 503))
    def newest_report() -> NumberedReport:
        """Issues, worst first, each with its likely cause and what to do; and the facts they come from."""
        kept = store.newest(database)
        if kept is None:
            raise HTTPException(404, NONE_YET)
        number, report = kept
        age = max(0.0, (datetime.now(UTC) - report.made_at).total_seconds())
        return NumberedReport(
            **dict(report), id=number, age_seconds=round(age, 1), late=age > policy.report_seconds, policy=policy
        )

    return router
