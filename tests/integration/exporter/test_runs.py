"""Runs as Dagster and as crashes leave them, counted once each whatever happens to their rows."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.observability.exporter.collectors import runs as runs_module
from mlops_assets.observability.exporter.collectors import settled_runs
from mlops_assets.observability.exporter.collectors.runs import collector
from mlops_assets.observability.exporter.collectors.source import Source
from mlops_assets.observability.exporter.families import Spread
from mlops_assets.observability.exporter.metrics import METRICS
from mlops_assets.settings import Settings
from tests.integration.exporter.made_rows import DECLARED, Found, Rows, look

HOUR = 3600.0
OLD = {"made": 3 * HOUR + 20, "started": 3 * HOUR + 15, "ended": 3 * HOUR}


@dg.op
def work() -> None:
    """Nothing."""


@dg.op
def fail() -> None:
    raise ValueError("on purpose")


@dg.job
def house_prices_train() -> None:
    work()


@dg.job
def house_prices_drift() -> None:
    fail()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, max_concurrent_runs=7, max_concurrent_pipeline_runs=3, max_concurrent_trainings=2)


@pytest.fixture
def looks(source: Source, settings: Settings) -> object:
    """One collector, to look with again and again."""
    made = collector(source, settings)
    return lambda: look(made)


def finished(found: Found, job: str) -> dict[str, float]:
    """Ended runs of a job by outcome, without the zeros."""
    series = found.all("mlops_runs_finished_total")
    return {outcome: value for (name, outcome), value in series.items() if name == job and value}


def test_runs_of_a_real_instance(instance: dg.DagsterInstance, looks) -> None:
    house_prices_train.execute_in_process(instance=instance)
    house_prices_train.execute_in_process(instance=instance)
    house_prices_drift.execute_in_process(instance=instance, raise_on_error=False)
    found = looks()
    assert finished(found, "house_prices_train") == {"SUCCESS": 2}
    assert finished(found, "house_prices_drift") == {"FAILURE": 1}
    assert found.of("mlops_job_last_run_failed", job="house_prices_train") == 0
    assert found.of("mlops_job_last_run_failed", job="house_prices_drift") == 1
    newest = instance.get_run_records(dg.RunsFilter(job_name="house_prices_train"), limit=1)[0]
    told = found.of("mlops_job_last_success_timestamp_seconds", job="house_prices_train")
    assert told == pytest.approx(newest.end_time, abs=0.001)
    assert found.of("mlops_job_last_success_timestamp_seconds", job="house_prices_drift") is None
    durations = found.of("mlops_run_duration_seconds", job="house_prices_train")
    assert isinstance(durations, Spread)
    assert sum(durations.counts) == 2


def test_outcomes_that_never_came_are_told_as_none(rows: Rows, looks) -> None:
    rows.run("house_prices_train")
    found = looks()
    assert found.of("mlops_runs_finished_total", job="house_prices_train", outcome="FAILURE") == 0


def test_waiting_going_and_stuck_runs_by_kind(rows: Rows, looks) -> None:
    rows.run("house_prices_train", "QUEUED", made=50, started=None, ended=None)
    rows.run("traffic_anomalies_train", "QUEUED", made=90, started=None, ended=None)
    rows.run("__ASSET_JOB", "STARTED", made=400, started=300, ended=None, tags=DECLARED)
    rows.run("platform_self_test", "STARTING", started=None, ended=None)
    found = looks()
    assert found.of("mlops_runs", kind="product", status="QUEUED") == 2
    assert found.of("mlops_runs", kind="pipeline", status="STARTED") == 1
    assert found.of("mlops_runs", kind="platform", status="STARTING") == 1
    assert found.of("mlops_runs", kind="pipeline", status="QUEUED") == 0
    assert found.of("mlops_run_queue_oldest_seconds", kind="product") == pytest.approx(90, abs=20)
    assert found.of("mlops_run_queue_oldest_seconds", kind="platform") == 0
    assert found.of("mlops_run_oldest_seconds", kind="pipeline") == pytest.approx(300, abs=20)


def test_a_run_is_overdue_a_minute_after_its_limit(rows: Rows, looks) -> None:
    for seconds in (600, 3000):
        for limit in ("900", "1e3", "900; DROP TABLE dagster.runs"):
            tags = {"dagster/max_runtime": limit}
            rows.run("house_prices_train", "STARTED", made=seconds, started=seconds, ended=None, tags=tags)
        rows.run("house_prices_train", "STARTED", made=seconds, started=seconds, ended=None)
    rows.run("x", "STARTED", made=930, started=930, ended=None, tags={"dagster/max_runtime": "900"})
    rows.run("platform_x", "STARTED", made=8000, started=8000, ended=None)
    found = looks()
    # Of what isn't a number, and without a tag, the installation's own limit of an hour holds.
    assert found.of("mlops_runs_overdue", kind="product") == 1
    assert found.of("mlops_runs_overdue", kind="platform") == 1


def test_slots_and_who_takes_them(rows: Rows, looks) -> None:
    rows.run("house_prices_train", "STARTED", ended=None, tags={"mlops/training": "house_prices"})
    rows.run("__ASSET_JOB", "CANCELING", ended=None, tags=DECLARED)
    rows.run("__ASSET_JOB", "QUEUED", started=None, ended=None, tags=DECLARED)
    found = looks()
    limits = {name: found.of("mlops_run_slots", limit=name) for name in ("runs", "pipelines", "trainings")}
    assert limits == {"runs": 7, "pipelines": 3, "trainings": 2}
    used = {name: found.of("mlops_run_slots_used", limit=name) for name in limits}
    assert used == {"runs": 2, "pipelines": 1, "trainings": 1}


def test_durations_and_waits_fall_into_the_right_buckets(rows: Rows, looks) -> None:
    # 5 s is an upper bound: the run belongs below it.
    rows.run("house_prices_train", made=10, started=10, ended=5)
    rows.run("house_prices_train", made=4000.5, started=4000, ended=0)
    rows.run("house_prices_train", "CANCELED", made=5, started=None, ended=1)
    found = looks()
    durations = found.of("mlops_run_duration_seconds", job="house_prices_train")
    assert isinstance(durations, Spread)
    bounds = METRICS["mlops_run_duration_seconds"].buckets
    assert durations.counts[bounds.index(5.0)] == 1
    assert durations.counts[-1] == 1
    assert durations.total == pytest.approx(4005, abs=0.1)
    waits = found.of("mlops_run_wait_seconds", kind="product")
    assert isinstance(waits, Spread)
    assert sum(waits.counts) == 2
    assert finished(found, "house_prices_train") == {"SUCCESS": 2, "CANCELED": 1}


def test_all_declared_pipelines_are_one_job(rows: Rows, looks) -> None:
    rows.run("__ASSET_JOB", tags=DECLARED)
    rows.run("__ASSET_JOB", tags=DECLARED | {"mlops/declared2": "x"})
    rows.run("__ASSET_JOB", tags={"mlops/declared": "something else"})
    found = looks()
    assert finished(found, "pipelines") == {"SUCCESS": 2}
    assert finished(found, "__ASSET_JOB") == {"SUCCESS": 1}


def test_each_run_counts_once_over_many_looks(rows: Rows, looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled_runs, "STEP", 2)
    for _ in range(5):
        rows.run("house_prices_train", **OLD)
    hangs = rows.run("house_prices_train", "STARTED", made=3 * HOUR, started=3 * HOUR, ended=None)
    for _ in range(4):
        rows.run("house_prices_train", **OLD)
    rows.run("house_prices_train")
    assert finished(looks(), "house_prices_train") == {"SUCCESS": 10}
    assert finished(looks(), "house_prices_train") == {"SUCCESS": 10}
    # It ends at last, long after younger ones have been counted for good.
    rows.execute("UPDATE dagster.runs SET status = 'FAILURE', end_time = 1 WHERE run_id = :id", id=hangs)
    assert finished(looks(), "house_prices_train") == {"SUCCESS": 10, "FAILURE": 1}
    rows.run("house_prices_train", "FAILURE")
    assert finished(looks(), "house_prices_train") == {"SUCCESS": 10, "FAILURE": 2}


def test_removed_runs_stay_counted(rows: Rows, looks) -> None:
    for _ in range(3):
        rows.run("house_prices_train", **OLD)
    hangs = rows.run("house_prices_train", "STARTED", made=3 * HOUR, started=3 * HOUR, ended=None)
    assert finished(looks(), "house_prices_train") == {"SUCCESS": 3}
    rows.execute("DELETE FROM dagster.runs WHERE run_id = :id OR id = (SELECT min(id) FROM dagster.runs)", id=hangs)
    assert finished(looks(), "house_prices_train") == {"SUCCESS": 3}


def test_a_count_that_breaks_off_goes_on_where_it_was(rows: Rows, looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled_runs, "STEP", 2)
    for _ in range(6):
        rows.run("house_prices_train", **OLD)
    asked = []
    real = settled_runs.rows

    def breaks(connection, statement, values=None):
        asked.append(1)
        if len(asked) == 3:
            raise ConnectionError("gone")
        return real(connection, statement, values)

    monkeypatch.setattr(settled_runs, "rows", breaks)
    with pytest.raises(ConnectionError):
        looks()
    assert finished(looks(), "house_prices_train") == {"SUCCESS": 6}


def test_five_thousand_invented_jobs_displace_no_job_of_ours(
    rows: Rows, looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled_runs, "STEP", 1_000)
    rows.execute(
        "INSERT INTO mlops.dataset_version (product, version, sha256, rows, uri, source, sample) "
        "VALUES ('house_prices', 1, repeat('0', 64), 1, 'u', 's', false)"
    )
    rows.run("house_prices_train", "FAILURE", **OLD)
    rows.execute("""
        INSERT INTO dagster.runs (run_id, pipeline_name, status, run_body, create_timestamp, start_time, end_time)
        SELECT gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'invented_' || n ELSE E'evil"} 1\\nmlops_runs{kind="' || n END,
          'SUCCESS', '{}', now() - interval '1 day', 10, 20 FROM generate_series(1, 5000) AS n""")
    rows.run("house_prices_drift", **OLD)
    found = looks()
    assert finished(found, "house_prices_train") == {"FAILURE": 1}
    assert finished(found, "house_prices_drift") == {"SUCCESS": 1}
    series = found.all("mlops_runs_finished_total")
    assert len(series) == METRICS["mlops_runs_finished_total"].most
    assert found.dropped["mlops_runs_finished_total"] > 0
    jobs = {job for job, _ in series}
    assert all(job.startswith(("invented_", "house_prices_")) or job == "other" for job in jobs)
    known = runs_module.MOST_JOBS + 5
    assert len(looks().all("mlops_job_last_run_failed")) == METRICS["mlops_job_last_run_failed"].most < known
