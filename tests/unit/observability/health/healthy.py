"""A platform that is well, as facts, and what may be wrong with it, for tests of the rules of health."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops_assets.observability.health.facts import (
    DatabaseFacts,
    Disk,
    ErrorLine,
    Facts,
    FailurePatterns,
    Heartbeat,
    JobRuns,
    Location,
    Platform,
    PredictionLog,
    Program,
    Queue,
    RunMetrics,
    Service,
    Slots,
    StageFailures,
)
from mlops_assets.observability.health.issues import HealthReport, Issue
from mlops_assets.observability.health.judge import judge
from mlops_assets.observability.health.policy import HealthPolicy

AT = datetime(2026, 3, 2, 14, 50, tzinfo=UTC)
POLICY = HealthPolicy()
LONG_AGO = 90_000.0


def runs(success: int = 100, failed: int = 0, **more: Any) -> RunMetrics:
    jobs = more.pop("jobs", (JobRuns(job="house_prices_train", success=success, failed=failed),))
    return RunMetrics(hours=24, until=AT, success=success, failed=failed, jobs=jobs, **more)


def stage(failures: int, *lines: str, owner: str = "house_prices", name: str = "model") -> StageFailures:
    """A stage of 20 tries that failed with these lines, each once."""
    errors = [ErrorLine(line=line, count=lines.count(line), run_id="run1", at=AT) for line in dict.fromkeys(lines)]
    errors.sort(key=lambda error: -error.count)
    return StageFailures(owner=owner, stage=name, failures=failures, attempts=20, errors=tuple(errors))


def patterns(*stages: StageFailures) -> FailurePatterns:
    return FailurePatterns(hours=24, failures=sum(one.failures for one in stages), stages=stages)


def platform(**changed: Any) -> Platform:
    parts: dict[str, Any] = {
        "heartbeats": (Heartbeat(daemon="SCHEDULER", age=12), Heartbeat(daemon="QUEUED_RUN_COORDINATOR", age=20)),
        "locations": (Location(name="products"), Location(name="pipelines")),
        "queue": Queue(slots=(Slots(limit="runs", most=10, used=1),)),
        "overdue": (),
        "late": (),
        "failed_ticks": (),
        "services": (Service(name="webserver"),),
        "programs": tuple(Program(name=name, state="RUNNING", seconds=LONG_AGO) for name in PROGRAMS),
        "disk": Disk(free=500 * 10**9, size=1000 * 10**9),
        "database": DatabaseFacts(answer_seconds=0.001, size=10**9, connections=20, most_connections=200),
        "prediction_log": PredictionLog(oldest_seconds=0.5, silent_seconds=1),
    }
    return Platform(**parts | changed)


PROGRAMS = ("code", "daemon", "pipelines", "shipper", "webserver")


def programs(**states: str | tuple[str, float]) -> tuple[Program, ...]:
    """Every program, running for long, but those that are named here."""
    found = []
    for name in sorted({*PROGRAMS, *states}):
        told = states.get(name, "RUNNING")
        state, seconds = told if isinstance(told, tuple) else (told, LONG_AGO)
        found.append(Program(name=name, state=state, seconds=seconds))
    return tuple(found)


def facts(**changed: Any) -> Facts:
    """Facts of a platform that is well, but for what is changed: a field of `Facts`, or a part of the machinery."""
    own = {name: changed.pop(name) for name in ("runs", "failures", "missing", "at") if name in changed}
    return Facts(**{"at": AT, "runs": runs(), "failures": patterns()} | own, platform=platform(**changed))


def report(policy: HealthPolicy = POLICY, **changed: Any) -> HealthReport:
    return judge(facts(**changed), policy)


def names(policy: HealthPolicy = POLICY, **changed: Any) -> list[str]:
    return [str(issue.name) for issue in report(policy, **changed).issues]


def only(policy: HealthPolicy = POLICY, **changed: Any) -> Issue:
    """The one issue that there is."""
    (found,) = report(policy, **changed).issues
    return found
