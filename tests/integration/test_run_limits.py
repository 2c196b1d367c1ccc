"""Limits by tag with the real daemon: trainings one after the other, and everything else unaffected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.run_platform import Options, Platform, wait_for
from tests.integration.run_records import unfinished, was_queued

LIMITS = (
    "tag_concurrency_limits: [{key: mlops/training, value: {applyLimitPerUniqueValue: true}, limit: 1},"
    " {key: mlops/training, limit: {env: RUN_TEST_TRAININGS}}]"
)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """A platform on which two products may train at a time, and each of them once."""
    options = Options(
        source=Path(__file__).with_name("surviving_definitions.py"),
        coordinator=LIMITS,
        environment={"RUN_TEST_TRAININGS": "2"},
    )
    with Platform(options) as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet(platform: Platform) -> Iterator[None]:
    yield
    for run_id in unfinished(platform):
        platform.terminate(run_id)
    wait_for(lambda: not unfinished(platform), 60, "the runs of a test to end")


def end(platform: Platform, run_id: str) -> None:
    """Let a training end, and wait for it."""
    (platform.folder / f"{run_id}.end").touch()
    assert platform.finish(run_id) == "SUCCESS"


def test_a_second_training_of_a_product_waits_and_is_not_lost(platform: Platform) -> None:
    first, second = (platform.launch("homes_train") for _ in range(2))
    assert not was_queued(platform, first)
    assert platform.status(second) == "QUEUED"
    platform.began(first)
    end(platform, first)
    platform.began(second)
    assert platform.run(second)["startTime"] >= platform.run(first)["endTime"]
    end(platform, second)


def test_others_start_at_once_while_trainings_wait(platform: Platform) -> None:
    first, second = (platform.launch("homes_train") for _ in range(2))
    quick = platform.launch("quick")
    assert not was_queued(platform, quick)
    assert platform.finish(quick) == "SUCCESS"
    other = platform.launch("loans_train")
    assert not was_queued(platform, other)
    assert platform.status(second) == "QUEUED"
    for run in (first, other, second):
        platform.began(run)
        end(platform, run)


def test_processes_that_submit_trainings_at_the_same_moment_keep_the_limit(platform: Platform) -> None:
    runs = platform.submitters(processes=4, each=2, job="homes_train")
    for run in runs:
        (platform.folder / f"{run}.end").touch()
    assert {platform.finish(run, seconds=120) for run in runs} == {"SUCCESS"}
    spans = [(fact["startTime"], fact["endTime"]) for fact in map(platform.run, runs)]
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) == 1
