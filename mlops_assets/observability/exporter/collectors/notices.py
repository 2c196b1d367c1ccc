"""What people were told, and what the newest hourly look at the platform's health found.

Keep out how either comes about (`notifications`, `observability.health.judge`).
"""

from __future__ import annotations

from sqlalchemy import text

from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.collectors.source import Source, rows
from mlops_assets.observability.exporter.families import Sheet

EVERY_SECONDS = 15.0
STATES = ("waiting", "given_up")
# A notice that nobody has decided on yet.
UNDECIDED = "undecided"
DEGRADED = "degraded"

_NOTICES = """
SELECT kind, coalesce(outcome, :undecided) AS outcome, count(*) AS notices FROM mlops.notice
GROUP BY 1, 2 ORDER BY max(id) DESC
"""
_UNDELIVERED = """
SELECT state, count(*) AS deliveries FROM mlops.notice_delivery WHERE state = ANY(:states) GROUP BY 1
"""
_REPORT = """
SELECT status, extract(epoch FROM made_at)::float8 AS made, report FROM mlops.health_report
ORDER BY made_at DESC, id DESC LIMIT 1
"""
_HAS_REPORTS = "SELECT to_regclass('mlops.health_report') IS NOT NULL"


def collector(source: Source) -> Collector:
    """Notices; looks every fifteen seconds."""

    def look(sheet: Sheet) -> None:
        with source.asking() as connection:
            told = rows(connection, _NOTICES, {"undecided": UNDECIDED})
            found = {row.state: row.deliveries for row in rows(connection, _UNDELIVERED, {"states": list(STATES)})}
        for row in told:
            sheet.put("mlops_notices_total", row.notices, kind=row.kind, outcome=row.outcome)
        for state in STATES:
            sheet.put("mlops_notices_undelivered", found.get(state, 0), state=state)

    return Collector("notices", of_group("machine", only=("mlops_notices_",)), EVERY_SECONDS, look)


def health(source: Source) -> Collector:
    """The newest health report; looks every fifteen seconds."""

    def look(sheet: Sheet) -> None:
        with source.asking() as connection:
            if not connection.execute(text(_HAS_REPORTS)).scalar_one():
                return
            found = rows(connection, _REPORT)
        for report in found:
            sheet.put("mlops_health_degraded", report.status == DEGRADED)
            sheet.put("mlops_health_report_timestamp_seconds", report.made)
            numbers: dict[tuple[str, str], int] = {}
            for issue in report.report.get("issues", []):
                key = (str(issue.get("name")), str(issue.get("severity")))
                numbers[key] = numbers.get(key, 0) + 1
            for (name, severity), number in numbers.items():
                sheet.put("mlops_health_issues", number, issue=name, severity=severity)

    return Collector("health", of_group("machine", only=("mlops_health_",)), EVERY_SECONDS, look)
