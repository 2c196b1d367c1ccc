"""Runs found, counted and named in Dagster's records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from dagster import DagsterInstance, DagsterRunStatus

from mlops_assets.pipelines import naming, run_records
from mlops_assets.pipelines.run_records import AskedRuns
from mlops_assets.pipelines.statuses import RunStatus
from tests.unit.pipelines.fabricated_runs import PIPELINE, executed, recorded, run_tags, spec_of

SPEC = spec_of()
OTHER = uuid4()


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def made(instance: DagsterInstance, status: DagsterRunStatus = DagsterRunStatus.SUCCESS, **tags: Any) -> str:
    return recorded(instance, SPEC, status=status, tags=run_tags(SPEC, **tags))


def ids(instance: DagsterInstance, **asked: Any) -> list[str]:
    """The runs that fit, each page of one run: as many pages as there are runs."""
    found: list[str] = []
    cursor = None
    while True:
        page = run_records.page(instance, AskedRuns(**asked), 1, cursor)
        found += [run.id for run in page.runs]
        if not page.more:
            assert page.total == len(found)
            return found
        cursor = found[-1]


@pytest.mark.parametrize("status", list(DagsterRunStatus))
def test_every_status_of_dagster_has_a_word(instance: DagsterInstance, status: DagsterRunStatus) -> None:
    run_id = made(instance, status)
    run = run_records.one(instance, run_id)
    assert run is not None
    word = run.status
    assert ids(instance, statuses=frozenset({word})) == [run_id]
    assert run_records.counts(instance)[word] == 1
    finished = status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
    assert run_records.active_runs(instance, PIPELINE) == (0 if finished else 1)


def test_a_run_that_is_being_cancelled_is_not_over(instance: DagsterInstance) -> None:
    run = run_records.one(instance, made(instance, DagsterRunStatus.CANCELING))
    assert run is not None
    assert (run.status, run.cancelling, run.finished) == (RunStatus.RUNNING, True, False)


def test_a_run_says_what_it_was_started_with(instance: DagsterInstance) -> None:
    tags = run_tags(SPEC, team="red") | {
        naming.ENVIRONMENT_TAG: "staging", naming.NOTES_TAG: "a look", "dagster/max_runtime": "60", ".dagster/x": "y",
    }  # fmt: skip
    run = run_records.one(instance, executed(instance, SPEC, tags=tags))
    assert run is not None
    assert (run.pipeline_id, run.pipeline, run.version, run.status) == (PIPELINE, "made", 1, RunStatus.COMPLETED)
    assert (run.trigger, run.who, run.environment, run.notes) == ("API", "ci", "staging", "a look")
    assert (run.parameters, run.tags) == ({"rows": 3}, {"team": "red"})
    assert run.started_at is not None
    assert run.ended_at is not None
    assert run.created_at <= run.started_at <= run.ended_at


@pytest.mark.parametrize(
    ("extra", "trigger", "who"),
    [
        ({}, "MANUAL", "dagster"),
        ({"dagster/schedule_name": "made_schedule"}, "SCHEDULED", "schedule"),
        ({naming.TRIGGER_TAG: "WEBHOOK", naming.WHO_TAG: "git"}, "WEBHOOK", "git"),
        ({naming.TRIGGER_TAG: "made up"}, "MANUAL", "dagster"),
    ],
)
def test_runs_that_the_api_did_not_start_have_a_trigger_too(
    instance: DagsterInstance, extra: dict[str, str], trigger: str, who: str
) -> None:
    own = {naming.DECLARED_TAG: naming.DECLARED, naming.PIPELINE_TAG: str(PIPELINE)}
    run = run_records.one(instance, recorded(instance, SPEC, tags=own | extra))
    assert run is not None
    assert (run.trigger, run.who) == (trigger, who)


def test_runs_of_products_are_not_seen(instance: DagsterInstance) -> None:
    product = recorded(instance, SPEC, tags={"team": "red"}, status=DagsterRunStatus.STARTED)
    assert run_records.one(instance, product) is None
    assert run_records.one(instance, str(uuid4())) is None
    assert ids(instance) == ids(instance, tags=(("team", "red"),)) == ids(instance, tags=(("team", None),)) == []
    assert sum(run_records.counts(instance).values()) == 0


def test_tags_that_somebody_set_by_hand_break_no_list(instance: DagsterInstance) -> None:
    wrong = {naming.PIPELINE_TAG: "x", naming.VERSION_TAG: "two"}
    run_id = recorded(instance, SPEC, tags=run_tags(SPEC) | wrong)
    (run,) = run_records.page(instance, AskedRuns(), 5).runs
    assert (run.id, run.pipeline_id, run.version) == (run_id, None, 0)


def test_filters_narrow_and_fit_together(instance: DagsterInstance) -> None:
    a = made(instance, team="red", tier="1")
    b = made(instance, DagsterRunStatus.FAILURE, team="blue")
    c = recorded(instance, SPEC, status=DagsterRunStatus.STARTED, tags=run_tags(SPEC, OTHER, team="red"))
    d = made(instance, mlops__trigger="WEBHOOK")
    assert ids(instance) == [d, c, b, a]
    assert ids(instance, ascending=True) == [a, b, c, d]
    assert ids(instance, pipeline_id=OTHER) == [c]
    assert ids(instance, statuses=frozenset({RunStatus.RUNNING, RunStatus.FAILED})) == [c, b]
    assert ids(instance, tags=(("team", "red"),)) == [c, a]
    assert ids(instance, tags=(("team", None),)) == [c, b, a]
    assert ids(instance, tags=(("team", None), ("team", "blue"))) == [b]
    assert ids(instance, tags=(("team", "red"), ("team", "blue"))) == []
    assert ids(instance, tags=(("team", "red"), ("tier", "1"))) == [a]
    assert ids(instance, tags=(("nobody", None),)) == []
    assert ids(instance, trigger="WEBHOOK") == [d]
    assert ids(instance, trigger="API", pipeline_id=PIPELINE) == [b, a]


def test_times_count_from_a_moment_up_to_another_in_any_zone(instance: DagsterInstance) -> None:
    runs = [made(instance) for _ in range(3)]
    second = run_records.one(instance, runs[1])
    assert second is not None
    moment = second.created_at.astimezone(timezone(timedelta(hours=-7)))
    assert ids(instance, since=moment) == [runs[2], runs[1]]
    assert ids(instance, until=moment) == [runs[0]]
    assert ids(instance, since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert sum(run_records.counts(instance, moment).values()) == 2


def test_runs_that_come_meanwhile_move_no_page(instance: DagsterInstance) -> None:
    runs = [made(instance) for _ in range(4)]
    first = run_records.page(instance, AskedRuns(), 2)
    made(instance)
    second = run_records.page(instance, AskedRuns(), 2, first.runs[-1].id)
    assert [run.id for run in (*first.runs, *second.runs)] == runs[::-1]
    assert (first.more, second.more, second.total) == (True, False, 5)


def test_a_cursor_that_is_no_run_is_told(instance: DagsterInstance) -> None:
    last = made(instance)
    assert run_records.page(instance, AskedRuns(), 5, last).runs == []
    with pytest.raises(LookupError, match="there is no run"):
        run_records.page(instance, AskedRuns(), 5, str(uuid4()))
    with pytest.raises(LookupError, match="there is no run"):
        run_records.page(instance, AskedRuns(trigger="MANUAL"), 5, str(uuid4()))
