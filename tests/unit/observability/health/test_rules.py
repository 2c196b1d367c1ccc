"""Each rule of health at and around its threshold, what it takes for the cause, and what it says to do."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.observability.health.facts import (
    DatabaseFacts,
    Disk,
    Facts,
    FailedTick,
    Heartbeat,
    JobRuns,
    LateSchedule,
    Location,
    OverdueRun,
    PredictionLog,
    Queue,
    Service,
    Slots,
)
from mlops_assets.observability.health.issues import IssueName
from mlops_assets.observability.health.judge import judge
from mlops_assets.observability.health.policy import HealthPolicy
from tests.unit.observability.health.healthy import AT, POLICY, names, only, patterns, programs, report, runs, stage

DATABASE = {"answer_seconds": 0.001, "size": 10**9, "connections": 20, "most_connections": 200}


def database(**changed: float) -> DatabaseFacts:
    return DatabaseFacts.model_validate(DATABASE | changed)


def beats(*ages: float | None) -> tuple[Heartbeat, ...]:
    parts = ("SCHEDULER", "QUEUED_RUN_COORDINATOR", "SENSOR")
    return tuple(Heartbeat(daemon=name, age=age) for name, age in zip(parts, ages, strict=False))


def test_a_platform_that_is_well_is_healthy() -> None:
    found = report()
    assert (found.status, found.issues, found.said) == ("healthy", (), "healthy: no issue")


def test_a_fresh_installation_without_runs_or_traffic_is_healthy() -> None:
    nothing = {"runs": runs(0, jobs=()), "prediction_log": None, "services": (), "late": None, "failed_ticks": None}
    young = programs(**{name: ("RUNNING", 3.0) for name in ("code", "daemon", "webserver", "shipper", "pipelines")})
    assert names(**nothing, programs=young, heartbeats=beats(None, None, None)) == []


@pytest.mark.parametrize(
    ("success", "failed", "wanted"),
    [
        (80, 20, ["failures_many"]),  # 20 % may fail; 20 are more than 10 runs
        (39, 10, ["failure_rate_high"]),  # 20.4 %; ten may fail
        (40, 10, []),
        (44, 11, ["failures_many"]),
        (0, 4, []),  # too few runs for a rate
        (0, 5, ["failure_rate_high"]),
    ],
)
def test_failure_rate_and_number_of_failures(success: int, failed: int, wanted: list[str]) -> None:
    assert names(runs=runs(success, failed)) == wanted


def test_canceled_runs_are_no_failures_and_no_successes() -> None:
    assert names(runs=runs(39, 10, canceled=1000)) == ["failure_rate_high"]
    assert names(runs=runs(40, 10, canceled=1000)) == []


def test_the_thresholds_are_those_of_the_policy() -> None:
    strict = HealthPolicy(max_failure_rate=0.01, max_failures=0, least_ended_runs=1, stage_failures_warning=0)
    found = names(strict, runs=runs(98, 2), failures=patterns(stage(2, "boom")))
    assert found == ["failure_rate_high", "failures_many", "stage_fails_often"]


@pytest.mark.parametrize(("times", "told"), [(3, False), (4, True)])
def test_a_stage_that_failed_more_than_three_times(times: int, told: bool) -> None:
    assert ("stage_fails_often" in names(failures=patterns(stage(times, "boom")))) is told


def test_the_same_error_in_all_runs_is_the_cause() -> None:
    line = "psycopg2.OperationalError: could not connect"
    failing = patterns(stage(18, *[line] * 18), stage(2, "x", "y", name="dataset"))
    found = report(runs=runs(20, 20), failures=failing).issues[0]
    assert found.name is IssueName.FAILURE_RATE_HIGH
    assert "18 of 20" in found.cause
    assert line in found.cause
    assert "house_prices/model" in found.cause


def test_different_errors_name_the_commonest() -> None:
    found = only(failures=patterns(stage(5, "a", "a", "a", "b", "c")))
    assert found.subject == "house_prices/model"
    assert "3 of 5" in found.cause
    assert found.cause.endswith(": a")


def test_failures_of_many_stages_are_told_as_that() -> None:
    spread = patterns(*(stage(3, "boom", name=f"stage{number}") for number in range(8)))
    jobs = tuple(JobRuns(job=f"job{number}", failed=3) for number in range(8))
    found = report(runs=runs(20, 24, jobs=jobs), failures=spread).issues[0]
    assert "several stages" in found.cause
    assert "house_prices/stage4" in found.cause
    assert "stage5" not in found.cause


def test_runs_that_died_outside_of_any_stage_are_told_as_that() -> None:
    dead = stage(6, *["run process ended unexpectedly"] * 6, owner="house_prices_train", name="")
    found = report(runs=runs(10, 6), failures=patterns(dead)).issues
    assert all("outside of any stage" in issue.cause for issue in found)
    assert {str(issue.name) for issue in found} == {"failure_rate_high", "stage_fails_often"}


@pytest.mark.parametrize(("times", "told"), [(2, False), (3, True)])
def test_a_job_whose_newest_runs_failed_one_after_the_other(times: int, told: bool) -> None:
    jobs = (JobRuns(job="house_prices_train", success=9, failed=3, in_a_row=times),)
    found = report(runs=runs(90, 3, jobs=jobs), failures=patterns(stage(3, "no rows")))
    assert [issue.subject for issue in found.issues] == (["house_prices_train"] if told else [])
    assert all("no rows" in issue.cause for issue in found.issues)


@pytest.mark.parametrize(("age", "told"), [(59.9, False), (60.0, True), (None, True)])
def test_a_heartbeat_from_sixty_seconds_on(age: float | None, told: bool) -> None:
    assert (names(heartbeats=beats(10.0, age)) == ["daemon_silent"]) is told


@pytest.mark.parametrize(
    ("changed", "words", "command"),
    [
        ({"programs": programs(daemon="BACKOFF")}, "isn't running (BACKOFF)", "mlops logs daemon"),
        ({"database": database(skew=-300)}, "clocks differ", "timedatectl status"),
        ({"database": database(answer_seconds=4)}, "the database is slow", "mlops logs postgres"),
        ({}, "stuck", "mlops logs daemon"),
        ({"programs": None}, "has ended", "mlops status"),
    ],
)
def test_why_the_daemon_is_silent(changed: dict[str, Any], words: str, command: str) -> None:
    found = next(i for i in report(heartbeats=beats(400, 400), **changed).issues if i.name == "daemon_silent")
    assert words in found.cause
    assert found.action.startswith(command)


def test_one_silent_part_of_the_daemon_is_told_as_that_part() -> None:
    found = only(heartbeats=beats(400, 10, 10))
    assert "scheduler" in found.message
    assert "other parts of it are alive" in found.cause


def test_a_daemon_that_was_just_started_may_be_silent_for_a_while() -> None:
    assert names(heartbeats=beats(None, None), programs=programs(daemon=("RUNNING", 119))) == []
    assert names(heartbeats=beats(None, None), programs=programs(daemon=("RUNNING", 120))) == ["daemon_silent"]


def test_a_heartbeat_with_errors() -> None:
    failing = (Heartbeat(daemon="SENSOR", age=5, errors=("KeyError: 'x'",)),)
    assert only(heartbeats=failing).cause == "KeyError: 'x'"


def test_a_code_location_that_fails_to_load_names_its_error() -> None:
    broken = (Location(name="products", error="SyntaxError: invalid syntax"), Location(name="pipelines"))
    late = (LateSchedule(name="house_prices_train_schedule", seconds=7200),)
    found = only(locations=broken, late=late)
    assert (found.name, found.cause, found.action) == (
        *(IssueName.CODE_LOCATION_BROKEN, "SyntaxError: invalid syntax"),
        "mlops logs code",
    )


def test_a_code_location_whose_server_is_down_names_that() -> None:
    broken = (Location(name="products", error="failed to connect"),)
    found = report(locations=broken, programs=programs(code="FATAL")).issues
    assert {issue.name: issue.cause for issue in found}[IssueName.CODE_LOCATION_BROKEN].endswith("(FATAL)")


@pytest.mark.parametrize(("waits", "told"), [(1799, False), (1800, True)])
def test_the_oldest_queued_run(waits: float, told: bool) -> None:
    queue = Queue(queued=3, oldest_seconds=waits, oldest_job="sales", slots=(Slots(limit="runs", most=10, used=2),))
    assert (names(queue=queue) == ["queue_waits"]) is told


def test_a_full_queue_names_the_job_that_has_the_places() -> None:
    slots = (Slots(limit="runs", most=4, used=4),)
    going = (("house_prices_train", 3), ("sales", 1))
    found = only(queue=Queue(queued=9, oldest_seconds=4000, oldest_job="sales", slots=slots, going=going))
    assert "all 4 places for runs are taken, 3 of them by house_prices_train" in found.cause
    assert "MLOPS_MAX_CONCURRENT_RUNS" in found.action


def test_a_queue_that_nobody_empties_names_the_silent_part() -> None:
    queue = Queue(queued=1, oldest_seconds=4000, oldest_job="sales", slots=(Slots(limit="runs", most=4, used=0),))
    found = report(queue=queue, heartbeats=beats(10, 400)).issues
    assert "empties the queue is silent" in {i.name: i.cause for i in found}[IssueName.QUEUE_WAITS]
    assert "of their own kind" in only(queue=queue).cause


@pytest.mark.parametrize(("late", "told"), [(60, False), (60.1, True)])
def test_a_run_beyond_its_time_limit(late: float, told: bool) -> None:
    assert (names(overdue=(OverdueRun(run_id="r", job="sales", seconds=late),)) == ["run_overdue"]) is told


def test_late_schedules_are_told_unless_the_daemon_is_silent() -> None:
    late = tuple(LateSchedule(name=f"s{number}", seconds=300 + number) for number in range(8))
    assert "and 3 more" in only(late=late).message
    assert names(late=(LateSchedule(name="s", seconds=299),)) == []
    assert names(late=late, heartbeats=beats(400, 400)) == ["daemon_silent"]


def test_a_tick_that_failed_is_told_by_its_error() -> None:
    failed = FailedTick(name="house_prices_train_schedule", kind="schedule", error="ValueError: no", age=30)
    assert only(failed_ticks=(failed,)).cause == "ValueError: no"


@pytest.mark.parametrize("state", ["BACKOFF", "FATAL", "EXITED", "STOPPED"])
def test_programs_that_are_down(state: str) -> None:
    found = only(programs=programs(mlflow=state))
    assert (found.subject, found.name) == ("mlflow", IssueName.PROGRAM_DOWN)
    assert found.action.startswith("mlops logs mlflow")


def test_a_program_that_is_being_started_is_not_down() -> None:
    assert names(programs=programs(mlflow=("STARTING", 3))) == []
    assert names(programs=programs(mlflow=("STARTING", 500))) == ["program_down"]


def test_a_service_that_does_not_answer_is_told_once_not_with_its_program() -> None:
    down = (Service(name="mlflow", down_seconds=95),)
    assert only(services=down, programs=programs(mlflow="RUNNING")).name is IssueName.SERVICE_DOWN
    assert names(services=down, programs=programs(mlflow="FATAL")) == ["program_down"]
    assert names(services=down, programs=programs(mlflow=("RUNNING", 20))) == []


@pytest.mark.parametrize(
    ("oldest", "silent", "told"), [(119, 1, False), (120, 1, True), (0, 119, False), (0, 120, True)]
)
def test_the_prediction_log(oldest: float, silent: float, told: bool) -> None:
    log = PredictionLog(oldest_seconds=oldest, silent_seconds=silent)
    assert (names(prediction_log=log) == ["prediction_log_behind"]) is told


@pytest.mark.parametrize(
    ("free", "severity"), [(100, None), (99, "warning"), (50, "warning"), (49, "critical"), (0, "critical")]
)
def test_the_disk(free: int, severity: str | None) -> None:
    found = report(disk=Disk(free=free, size=1000)).issues
    assert [issue.severity for issue in found] == ([severity] if severity else [])


def test_a_disk_that_the_database_has_filled() -> None:
    full = Disk(free=10**9, size=100 * 10**9)
    assert "the database holds 60.0 GB" in only(disk=full, database=database(size=60 * 10**9)).cause
    assert "smaller part" in only(disk=full).cause


def test_a_slow_database_and_what_slows_it() -> None:
    assert names(database=database(answer_seconds=0.99)) == []
    assert "busy" in only(database=database(answer_seconds=1)).cause
    short = report(database=database(answer_seconds=2, connections=180)).issues
    assert "connections" in {i.name: i.cause for i in short}[IssueName.DATABASE_SLOW]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"connections": 179}, []),
        ({"connections": 180}, ["database_connections"]),
        ({"oldest_transaction": 3599}, []),
        ({"oldest_transaction": 3600}, ["database_transaction_old"]),
        ({"skew": 4.9}, []),
        ({"skew": -5.0}, ["clock_off"]),
        ({"skew": 5.0}, ["clock_off"]),
    ],
)
def test_the_database(changed: dict[str, float], told: list[str]) -> None:
    assert names(database=database(**changed)) == told


def test_what_cannot_be_looked_at_is_one_issue_for_each_reason() -> None:
    gone = {"queue": "the database doesn't answer", "daemon": "the database doesn't answer", "disk": "PermissionError"}
    found = judge(Facts(at=AT, missing=gone), POLICY)
    assert [(issue.subject, issue.cause) for issue in found.issues] == [
        ("daemon, queue", "the database doesn't answer"),
        ("disk", "PermissionError"),
    ]


def test_the_worst_comes_first_and_a_flood_is_cut() -> None:
    failing = patterns(*(stage(4, "boom", name=f"s{number}") for number in range(200)))
    found = report(failures=failing, disk=Disk(free=1, size=1000))
    assert found.issues[0].name is IssueName.DISK_FULL
    assert len(found.issues) == 50


def test_the_scheduler_may_sleep_from_minute_to_minute() -> None:
    asleep, gone = Heartbeat(daemon="SCHEDULER", age=80.0), Heartbeat(daemon="SCHEDULER", age=125.0)
    assert not asleep.is_old(60)
    assert gone.is_old(60)
    assert Heartbeat(daemon="SENSOR", age=80.0).is_old(60)
