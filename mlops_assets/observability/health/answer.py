"""The platform's health for a terminal: looked at now, by the rules of the hourly report, whatever still works.

Keep out how a terminal shows it (`installation.doctor`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.notifications.notice import Severity
from mlops_assets.observability.health import store
from mlops_assets.observability.health.issues import OF_THE_DAY, HealthReport
from mlops_assets.observability.health.judge import judge
from mlops_assets.observability.health.look import Look
from mlops_assets.observability.health.policy import HealthPolicy, PolicyError, declared_policy
from mlops_assets.observability.health.words import span
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database

LOOK_SECONDS = 10.0
MOST_ADVICE = 10


@dataclass(frozen=True)
class HealthAnswer:
    """Whether all is well, in one line, and what to do: a line for each issue.

    `urgent` is whether anything of it is more than a warning, and of this moment.
    """

    good: bool
    said: str
    advice: tuple[str, ...] = ()
    urgent: bool = True


def answer(settings: Settings, policy: HealthPolicy | None = None) -> HealthAnswer:
    """Look at the installation now, and at the newest hourly report. The policy is the declared one."""
    try:
        policy = declared_policy() if policy is None else policy
    except PolicyError as error:
        return HealthAnswer(False, str(error), ("correct the file",))
    database = Database.connect(settings.database)
    try:
        kept = store.newest(database)
        report = judge(Look(settings, database, policy, seconds=LOOK_SECONDS).facts(None), policy)
    except SQLAlchemyError as error:
        said = f"the database doesn't answer as it should ({type(error).__name__})"
        return HealthAnswer(False, said, ("mlops status; mlops up",))
    except ValueError:  # its text would be the report
        return HealthAnswer(False, "the newest report is of another version of this program", ("mlops up",))
    finally:
        database.dispose()
    return told(report, kept[1] if kept else None, policy, datetime.now(UTC))


def told(now: HealthReport, newest: HealthReport | None, policy: HealthPolicy, at: datetime) -> HealthAnswer:
    """What is the matter `now`, and how the newest hourly report, if there is one, fits to that at `at`."""
    advice = [f"{issue.message}. Likely: {issue.cause}. Do: {issue.action}" for issue in now.issues[:MOST_ADVICE]]
    said, late = "no hourly report yet", False
    if newest is not None:
        age = (at - newest.made_at).total_seconds()
        late = age > policy.report_seconds
        said = f"hourly report of {span(age)} ago: {newest.status}"
    if late:
        advice.append("the hourly report is late: mlops logs daemon")
    urgent = any(issue.severity is Severity.CRITICAL and issue.name not in OF_THE_DAY for issue in now.issues)
    return HealthAnswer(not now.issues and not late, f"{now.said}; {said}", tuple(advice), urgent)
