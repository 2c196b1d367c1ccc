"""What is known of the platform at one moment, as plain values that travel as JSON. Pure.

Add a figure here together with what reads it (`runs`, `machinery`, `programs`) and with the rule that uses it. Keep out
reading and judging. Texts in here are cleaned already: one line, short, no credentials.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """Frozen. Times are aware, durations in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class JobRuns(Fact):
    """The runs of one job in the window. `in_a_row` failed after its newest success there; seconds: the median."""

    job: str
    success: int = 0
    failed: int = 0
    canceled: int = 0
    running: int = 0
    queued: int = 0
    in_a_row: int = 0
    seconds: float | None = None

    @property
    def total(self) -> int:
        return self.success + self.failed + self.canceled + self.running + self.queued


class HourRuns(Fact):
    """The runs that ended in one hour, which began at `at`."""

    at: datetime
    success: int = 0
    failed: int = 0
    canceled: int = 0


class RunMetrics(Fact):
    """Runs that ended in the last `hours`, and those that go or wait now. `retried` failed and were started again.

    `jobs` holds those with the most failures and runs, `hours_of` one entry for each hour, oldest first.
    """

    hours: int
    until: datetime
    success: int = 0
    failed: int = 0
    canceled: int = 0
    running: int = 0
    queued: int = 0
    retried: int = 0
    jobs: tuple[JobRuns, ...] = ()
    more_jobs: int = 0
    hours_of: tuple[HourRuns, ...] = ()

    @property
    def total(self) -> int:
        return self.success + self.failed + self.canceled + self.running + self.queued

    @property
    def decided(self) -> int:
        """Runs that succeeded or failed: a canceled one was somebody's wish."""
        return self.success + self.failed

    @property
    def failure_rate(self) -> float | None:
        return self.failed / self.decided if self.decided else None

    @property
    def success_rate(self) -> float | None:
        return self.success / self.decided if self.decided else None


class ErrorLine(Fact):
    """Errors that begin alike: the newest one's first line, how many of those that were read, the newest's run."""

    line: str
    count: int
    run_id: str
    at: datetime


class StageFailures(Fact):
    """One stage in the window. `stage` is empty for runs that failed outside of any: their process ended, say.

    `attempts` are successes, failures and tries that were followed by another one (`retries`).
    """

    owner: str
    stage: str
    failures: int
    attempts: int
    retries: int = 0
    errors: tuple[ErrorLine, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.owner}/{self.stage}" if self.stage else self.owner

    @property
    def share(self) -> float:
        return self.failures / self.attempts if self.attempts else 1.0


class FailurePatterns(Fact):
    """Every stage that failed in the last `hours`, most failures first. `read` of `failures` errors were looked at."""

    hours: int
    failures: int = 0
    read: int = 0
    stages: tuple[StageFailures, ...] = ()
    more_stages: int = 0


# Dagster's scheduler sleeps from minute to minute and tells of itself in between.
SLEEP_SECONDS = {"SCHEDULER": 60.0}


class Heartbeat(Fact):
    """A part of Dagster's daemon. `age` is None if it never told of itself."""

    daemon: str
    age: float | None
    errors: tuple[str, ...] = ()

    def is_old(self, seconds: float) -> bool:
        """Whether it was heard of longer ago than `seconds`, and than it sleeps besides; or never."""
        return self.age is None or self.age >= seconds + SLEEP_SECONDS.get(self.daemon, 0.0)


class Location(Fact):
    """A code location as Dagster's webserver has it; `error` None: loaded."""

    name: str
    error: str | None = None


class Slots(Fact):
    """A limit of how many runs go at once, and how many of these go."""

    limit: str
    most: int
    used: int


class Queue(Fact):
    """Runs that wait and runs that go. `going` are the jobs of the latter with how many of each, most first."""

    queued: int = 0
    oldest_seconds: float = 0
    oldest_job: str = ""
    slots: tuple[Slots, ...] = ()
    going: tuple[tuple[str, int], ...] = ()


class OverdueRun(Fact):
    """A run that should have been ended `seconds` ago."""

    run_id: str
    job: str
    seconds: float


class LateSchedule(Fact):
    """A schedule whose next tick should have come `seconds` ago."""

    name: str
    seconds: float


class FailedTick(Fact):
    """A schedule or sensor whose newest tick failed."""

    name: str
    kind: str
    error: str
    age: float


class Service(Fact):
    """A service that is asked whether it is well; `down_seconds` since it wasn't, None while it is."""

    name: str
    down_seconds: float | None = None


class Program(Fact):
    """A process of the installation, in its manager's words; `seconds` since its newest start."""

    name: str
    state: str
    seconds: float = 0


class Disk(Fact):
    """Where the installation keeps its state."""

    free: int
    size: int

    @property
    def free_share(self) -> float:
        return self.free / self.size if self.size else 1.0


class DatabaseFacts(Fact):
    """How the database does. `skew` is this machine's clock less the database's."""

    answer_seconds: float
    size: int
    connections: int
    most_connections: int
    oldest_transaction: float = 0
    skew: float = 0


class PredictionLog(Fact):
    """What was answered and isn't in the database yet; `silent_seconds` since its program told of itself."""

    oldest_seconds: float
    silent_seconds: float


class Platform(Fact):
    """The machinery. A part is None when it couldn't be looked at: `Facts.missing` then says why."""

    heartbeats: tuple[Heartbeat, ...] | None = None
    locations: tuple[Location, ...] | None = None
    queue: Queue | None = None
    overdue: tuple[OverdueRun, ...] | None = None
    late: tuple[LateSchedule, ...] | None = None
    failed_ticks: tuple[FailedTick, ...] | None = None
    services: tuple[Service, ...] | None = None
    programs: tuple[Program, ...] | None = None
    disk: Disk | None = None
    database: DatabaseFacts | None = None
    prediction_log: PredictionLog | None = None


class Facts(Fact):
    """Everything that one report is made from. `missing`: what couldn't be looked at, and why in a few words."""

    at: datetime
    runs: RunMetrics | None = None
    failures: FailurePatterns | None = None
    platform: Platform = Platform()
    missing: dict[str, str] = {}
