"""What is wrong with the parts that run things, from heartbeats and answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from mlops_assets.api.health.routes import InTime, daemon_issues, launcher_issues
from mlops_assets.runs.client import ForkServerUnavailableError


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    # One in memory alone needs no daemon.
    with DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def beat(instance: DagsterInstance, name: str, at: float, *errors: str) -> None:
    told = [SerializableErrorInfo(error, [], None) for error in errors]
    instance.add_daemon_heartbeat(DaemonHeartbeat(at, name, "one", told))


def test_a_daemon_whose_parts_all_tell_of_themselves_is_well(instance: DagsterInstance) -> None:
    now = time.time()
    for name in instance.get_required_daemon_types():
        beat(instance, name, now - 59)
    assert daemon_issues(instance, now) == []


def test_a_daemon_that_was_never_started_is_told(instance: DagsterInstance) -> None:
    (issue,) = daemon_issues(instance, time.time())
    assert all(name in issue for name in instance.get_required_daemon_types())


def test_a_part_that_is_silent_is_named_and_for_how_long(instance: DagsterInstance) -> None:
    now = time.time()
    first, *others = sorted(instance.get_required_daemon_types())
    beat(instance, first, now - 60)
    for name in others:
        beat(instance, name, now - 1)
    (issue,) = daemon_issues(instance, now)
    assert issue.endswith(f"60 s ago: {first}")


def test_errors_of_the_daemon_are_told_without_their_words(instance: DagsterInstance) -> None:
    now = time.time()
    for name in instance.get_required_daemon_types():
        beat(instance, name, now, *(["password=secret-word"] if name == "SENSOR" else []))
    (issue,) = daemon_issues(instance, now)
    assert "SENSOR" in issue
    assert "secret-word" not in issue


def test_a_fork_server_that_is_away_is_told_without_its_address() -> None:
    def away() -> None:
        raise ForkServerUnavailableError("no fork server at /secret/path")

    (issue,) = launcher_issues(away)
    assert "fork server" in issue
    assert "/secret" not in issue
    assert launcher_issues(lambda: None) == []


def test_what_hangs_is_told_and_not_asked_again_until_it_has_answered() -> None:
    go_on, asked = threading.Event(), 0

    def hangs() -> list[str]:
        nonlocal asked
        asked += 1
        assert go_on.wait(20)
        return ["an issue"]

    ask = InTime("it", hangs, seconds=0.05)
    assert ask() == ask() == ["it hasn't answered in 0.05 s"]
    assert asked == 1
    go_on.set()
    patient = InTime("it", hangs, seconds=20)
    assert patient() == patient() == ["an issue"]
    assert asked == 3


def test_what_fails_is_an_issue_whose_cause_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> list[str]:
        raise OSError("password=secret-word")

    assert InTime("it", fails)() == ["it doesn't answer"]
    assert "OSError" in caplog.text or "secret-word" in caplog.text
