"""GET /api/v1/health: whether this API can do its work, and whether runs are started, really asked.

Add a part here when the API or its runs can't do without it. Everybody may ask, so what is wrong is told in words that
hold no addresses and no errors' texts. Keep out figures of this moment (`live`) and the whole report (`report`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTimeError
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from mlops_assets.api.health.live import Live, LiveFacts, ReportSummary
from mlops_assets.api.problems import answers
from mlops_assets.observability.health.facts import SLEEP_SECONDS
from mlops_assets.storage.database import Database

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from mlops_assets.settings import Settings

# A part of Dagster's daemon that was heard of longer ago is taken for gone; it tells of itself every 30 s.
HEARTBEAT_SECONDS = 60
FORK_SERVER_SECONDS = 2.0
ANSWER_SECONDS = 4.0

log = logging.getLogger(__name__)

Issues = Callable[[], Sequence[str]]


class Health(BaseModel):
    """The database answered, in so many milliseconds; if it doesn't, the answer is a problem with status 503.

    `issues` say in words what else doesn't work: runs may wait, or be started slowly. Without any, `status` is ok.
    `facts` are figures of this moment, `report` the newest hourly report in short; /api/v1/health/report has it all.
    """

    status: Literal["ok", "degraded"] = "ok"
    database_ms: float
    issues: list[str] = []
    facts: LiveFacts | None = None
    report: ReportSummary | None = None


def health_routes(
    database: Database, orchestrator: Issues | None = None, live: Callable[[], Live] | None = None
) -> APIRouter:
    """The one route that everybody may ask.

    `orchestrator` tells what is wrong with the parts that run things, `live` what is known of the rest.
    """
    router = APIRouter(prefix="/api/v1", tags=["health"])

    @router.get("/health", responses=answers(503))
    def health() -> Health:
        """Ask the database for something and say how long it took; ask who starts and executes runs."""
        began = perf_counter()
        database.check()
        database_ms = round((perf_counter() - began) * 1e3, 2)
        issues = list(orchestrator()) if orchestrator is not None else []
        seen = live() if live is not None else None
        issues += seen.issues if seen is not None else []
        return Health(
            status="degraded" if issues else "ok",
            database_ms=database_ms,
            issues=issues,
            facts=seen.facts if seen is not None else None,
            report=seen.report if seen is not None else None,
        )

    return router


def orchestrator_issues(settings: Settings, instance: Callable[[], DagsterInstance]) -> Issues:
    """Asks the instance for its daemon's heartbeats and the fork server whether it answers, with a time limit each."""
    from mlops_assets.runs.client import ForkServerClient

    client = ForkServerClient(str(settings.runs_socket), timeout_seconds=FORK_SERVER_SECONDS)
    daemon = InTime("Dagster's storage", lambda: daemon_issues(instance(), time.time()))
    launcher = InTime("the fork server", lambda: launcher_issues(client.status))
    return lambda: [*daemon(), *launcher()]


def daemon_issues(instance: DagsterInstance, now: float) -> list[str]:
    """What the heartbeats of the daemon's parts tell at `now`, in seconds since 1970."""
    heartbeats = instance.get_daemon_heartbeats()
    needed = sorted(instance.get_required_daemon_types())
    silent = [name for name in needed if name not in heartbeats]
    late = {name: now - heartbeats[name].timestamp for name in needed if name in heartbeats}
    late = {name: age for name, age in late.items() if age >= HEARTBEAT_SECONDS + SLEEP_SECONDS.get(name, 0)}
    failing = [name for name in needed if name in heartbeats and name not in late and heartbeats[name].errors]
    issues = []
    if silent:
        issues.append(f"Dagster's daemon has never told of itself: {', '.join(silent)}")
    if late:
        issues.append(f"Dagster's daemon was last heard of {min(late.values()):.0f} s ago: {', '.join(late)}")
    if failing:
        issues.append(f"Dagster's daemon reports errors: {', '.join(failing)}")
    return issues


def launcher_issues(ask: Callable[[], object]) -> list[str]:
    """Whether the process that runs are forked from answers."""
    from mlops_assets.runs.client import ForkServerUnavailableError

    try:
        ask()
    except ForkServerUnavailableError:
        return ["the fork server doesn't answer: runs start as processes of their own, slower"]
    return []


class InTime:
    """Asks something in a thread of its own, and waits no longer than `seconds`; one that hangs is not asked again."""

    def __init__(self, what: str, ask: Callable[[], list[str]], seconds: float = ANSWER_SECONDS) -> None:
        self._what, self._ask, self._seconds = what, ask, seconds
        self._lock = threading.Lock()
        self._asked: Future[list[str]] | None = None

    def __call__(self) -> list[str]:
        """The answer; that there is none in time, or none at all, is an issue too."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                name = f"ask {self._what}"
                threading.Thread(target=self._answer, args=(self._asked,), name=name, daemon=True).start()
            asked = self._asked
        try:
            return asked.result(self._seconds)
        except NotInTimeError:
            return [f"{self._what} hasn't answered in {self._seconds:g} s"]
        except Exception as error:  # noqa: BLE001 (whatever it is, it is an answer to how things are)
            log.warning("%s doesn't answer: %s", self._what, error)
            return [f"{self._what} doesn't answer"]

    def _answer(self, asked: Future[list[str]]) -> None:
        try:
            asked.set_result(self._ask())
        except BaseException as error:  # noqa: BLE001 (told to whoever waits)
            asked.set_exception(error)
