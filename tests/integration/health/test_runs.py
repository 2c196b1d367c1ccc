"""What is read of Dagster's tables: runs of every fate, stages that failed and their errors, queue, time limits."""

from __future__ import annotations

import json

from sqlalchemy import text

from mlops_assets.observability.health.facts import FailurePatterns, JobRuns, Queue, RunMetrics
from tests.integration.health.installation import Rig

DAY = 86_400


def runs_of(rig: Rig) -> RunMetrics:
    found = rig.look().runs
    assert found is not None
    return found


def failures_of(rig: Rig) -> FailurePatterns:
    found = rig.look().failures
    assert found is not None
    return found


def queue_of(rig: Rig) -> Queue:
    found = rig.look().platform.queue
    assert found is not None
    return found


def test_an_empty_dagster_has_no_runs_and_no_issue_of_runs(rig: Rig) -> None:
    runs = runs_of(rig)
    assert (runs.total, runs.failure_rate, runs.jobs, len(runs.hours_of)) == (0, None, (), 24)
    assert failures_of(rig).stages == ()
    assert queue_of(rig).queued == 0


def test_runs_are_counted_by_fate_job_and_hour_within_the_window(rig: Rig) -> None:
    for ago in (60, 3 * 3600, 23.9 * 3600):
        rig.run("house_prices_train", "SUCCESS", ago=ago, seconds=30)
    rig.run("house_prices_train", "FAILURE", ago=30 * 60)
    rig.run("house_prices_train", "CANCELED", ago=60)
    rig.run("house_prices_train", "SUCCESS", ago=DAY + 60)
    rig.run("a", "FAILURE", ago=DAY + 60)
    for status in ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"):
        rig.run("sales", status, ago=2 * DAY)
    runs = runs_of(rig)
    assert (runs.success, runs.failed, runs.canceled, runs.running, runs.queued) == (3, 1, 1, 3, 2)
    assert runs.total == 10
    assert runs.failure_rate == 0.25
    assert {job.job: job.total for job in runs.jobs} == {"house_prices_train": 5, "sales": 5}
    by_hour = [(hour.success, hour.failed, hour.canceled) for hour in runs.hours_of]
    assert by_hour[-1] == (1, 1, 1)
    assert by_hour[0][0] == by_hour[-4][0] == 1
    assert sum(hour[0] for hour in by_hour) == 3


def test_declared_pipelines_and_single_assets_have_names_of_their_own(rig: Rig) -> None:
    rig.run("__ASSET_JOB", "FAILURE", tags={"mlops/pipeline_name": "sales"})
    rig.run("__ASSET_JOB", "SUCCESS")
    assert {job.job for job in runs_of(rig).jobs} == {"pipeline sales", "a run of single assets"}


def test_failures_since_a_jobs_newest_success_are_in_a_row(rig: Rig) -> None:
    for ago, status in ((500, "FAILURE"), (400, "SUCCESS"), (300, "FAILURE"), (200, "FAILURE"), (100, "CANCELED")):
        rig.run("trains", status, ago=ago)
    rig.run("never", "FAILURE")
    rig.run("well", "SUCCESS")
    assert {job.job: job.in_a_row for job in runs_of(rig).jobs} == {"trains": 2, "never": 1, "well": 0}


def test_a_failed_run_that_was_tried_again_is_counted_as_that(rig: Rig) -> None:
    rig.run("trains", "FAILURE", tags={"dagster/will_retry": "true"})
    rig.run("trains", "FAILURE", tags={"dagster/will_retry": "false"})
    runs = runs_of(rig)
    assert (runs.failed, runs.retried) == (2, 1)


def test_the_looking_run_does_not_count_itself(rig: Rig) -> None:
    own = rig.run("platform_health", "STARTED")
    found = rig.look(own_run=own).runs
    assert found is not None
    assert found.running == 0


def test_a_thousand_jobs_are_summed_up_and_the_worst_are_kept(rig: Rig) -> None:
    for number in range(70):
        rig.run(f"job{number:03}", "FAILURE" if number == 69 else "SUCCESS")
    runs = runs_of(rig)
    assert (runs.success, runs.failed, len(runs.jobs), runs.more_jobs) == (69, 1, 50, 20)
    assert runs.jobs[0] == JobRuns(job="job069", failed=1, in_a_row=1, seconds=10)


def test_stages_that_failed_with_their_share_and_their_errors(rig: Rig) -> None:
    for number in range(3):
        rig.run(
            *("house_prices_train", "FAILURE"),
            steps={"house_prices__dataset": None, "house_prices__model": f"ValueError: row {number}\nmore"},
        )
    rig.run("house_prices_train", "SUCCESS", steps={"house_prices__dataset": None, "house_prices__model": None})
    rig.run("__ASSET_JOB", "FAILURE", tags={"mlops/pipeline_name": "sales"}, steps={"pipelines__sales__load": "no"})
    found = {stage.title: stage for stage in failures_of(rig).stages}
    assert set(found) == {"house_prices/model", "pipeline sales/load"}
    model = found["house_prices/model"]
    assert (model.failures, model.attempts, model.share) == (3, 4, 0.75)
    (error,) = model.errors
    assert (error.count, error.line[:15]) == (3, "ValueError: row")


def test_a_run_that_failed_outside_of_any_stage_is_a_pattern_too(rig: Rig) -> None:
    run = rig.run("house_prices_train", "FAILURE", steps={"house_prices__dataset": None})
    event = {"dagster_event": {"event_specific_data": {"error": None}, "message": "the run's process ended: killed"}}
    with rig.database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp) "
                "VALUES (:run, :event, 'PIPELINE_FAILURE', now())"
            ),
            {"run": run, "event": json.dumps(event)},
        )
    (pattern,) = failures_of(rig).stages
    assert (pattern.owner, pattern.stage, pattern.failures) == ("house_prices_train", "", 1)
    assert pattern.errors[0].line == "the run's process ended: killed"


def test_hostile_texts_are_kept_short_and_without_secrets(rig: Rig) -> None:
    rig.run("trains", "FAILURE", steps={"p__huge": "x" * 400_000, "p__url": "no postgresql://kim:s3cr3t@db/x"})
    rig.run("trains", "FAILURE", tags={"mlops/pipeline_name": "a\u202eb | <b>\n" + "n" * 1000})
    facts = rig.look()
    said = facts.model_dump_json()
    assert "s3cr3t" not in said
    assert len(said) < 20_000
    report = rig.report()
    assert report.success
    assert rig.reports()


def test_the_queue_tells_the_oldest_its_job_and_what_has_the_places(rig: Rig) -> None:
    rig.run("waits", "QUEUED", ago=90)
    rig.run("waits_longer", "QUEUED", ago=4000, tags={"mlops/training": "x"})
    rig.run("trains", "STARTED", tags={"mlops/training": "x"})
    rig.run("trains", "STARTING")
    queue = queue_of(rig)
    assert (queue.queued, queue.oldest_job, queue.going) == (2, "waits_longer", (("trains", 2),))
    assert 4000 <= queue.oldest_seconds < 4100
    assert {slots.limit: (slots.used, slots.most) for slots in queue.slots} == {"runs": (2, 2), "trainings": (1, 1)}


def test_runs_beyond_their_own_limit_or_that_of_the_installation(rig: Rig) -> None:
    own = rig.run("own_limit", "STARTED", ago=100, tags={"dagster/max_runtime": "30"})
    rig.run("in_time", "STARTED", ago=5000, tags={"dagster/max_runtime": "9999"})
    late = rig.run("default_limit", "STARTED", ago=3700)
    rig.run("odd_limit", "STARTED", ago=100, tags={"dagster/max_runtime": "soon; DROP TABLE x"})
    found = rig.look().platform.overdue
    assert found is not None
    assert [(run.run_id, round(run.seconds, -1)) for run in found] == [(late, 100), (own, 70)]
