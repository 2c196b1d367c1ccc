"""Health reports in the database: kept with what of them was told, in one transaction.

So a kill leaves both or neither, and whoever reports next goes on from there: each change is told once. Keep out when
people are told (`notifications.from_health`) and what a report says (`judge`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mlops_assets.notifications import from_health, outbox
from mlops_assets.notifications.from_health import Finding, OpenIssue
from mlops_assets.notifications.links import Links
from mlops_assets.observability.health.issues import HealthReport
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.storage.database import Database
from mlops_assets.storage.health_tables import KeptReport


@dataclass(frozen=True)
class Saved:
    """The report's number, and what people are told because of it, if anything."""

    number: int
    told: str | None


def save(database: Database, report: HealthReport, policy: HealthPolicy, links: Links, run_id: str | None) -> Saved:
    """Keep a report, note what people should hear, and remove reports that are old enough.

    The same run's second try changes nothing. Raises SQLAlchemyError.
    """
    findings = [
        Finding(str(one.name), one.severity, one.subject, one.message, one.cause, one.action) for one in report.issues
    ]
    with database.session() as session, session.begin():
        # The notifier's lock: two reports at once would both tell what is new to each.
        outbox.lock(session)
        known = run_id and session.scalar(select(KeptReport.id).where(KeptReport.run_id == run_id))
        if known:
            return Saved(known, None)
        change = from_health.compare(_open(session), findings, policy.well_reports, report.made_at)
        row = KeptReport(
            made_at=report.made_at,
            status=report.status,
            report=report.model_dump(mode="json"),
            open=[one.to_json() for one in change.open],
            run_id=run_id,
        )
        session.add(row)
        session.flush()
        notice = from_health.notice(change, findings, row.id, report.made_at, links)
        outbox.add(session, [notice] if notice else [], report.made_at)
        session.execute(
            delete(KeptReport).where(KeptReport.made_at < report.made_at - timedelta(days=policy.keep_days))
        )
        return Saved(row.id, notice.title if notice else None)


def _open(session: Session) -> list[OpenIssue]:
    kept = session.scalar(select(KeptReport.open).order_by(KeptReport.id.desc()).limit(1))
    return [OpenIssue.from_json(one) for one in kept or []]


def newest(database: Database) -> tuple[int, HealthReport] | None:
    """The newest report with its number; None before the first. Raises SQLAlchemyError."""
    with database.session() as session:
        row = session.scalar(select(KeptReport).order_by(KeptReport.id.desc()).limit(1))
    return None if row is None else (row.id, HealthReport.model_validate(row.report))
