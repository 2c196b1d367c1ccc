"""Rows of real runs: forked, started in the other way, with steps in processes of their own, killed, terminated.

Every run is one that Dagster launches. The figures are bounds that the work itself sets.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mlops_assets.observability.usage import queries
from mlops_assets.storage.database import Database
from tests.integration.run_platform import PROJECT, Options, Platform
from tests.integration.usage.made_attempts import set_status

MB = 1_000_000


@pytest.fixture(scope="module")
def platform(postgres_url: str, tables: Database) -> Iterator[Platform]:
    """A platform whose runs keep what they use in that database."""
    options = Options(
        source=Path(__file__).with_name("measured_definitions.py"),
        environment={"MLOPS_DATABASE_URL": postgres_url, "RUN_TEST_PACKAGE": str(PROJECT / "mlops_assets")},
    )
    with Platform(options) as running:
        yield running


def attempts(database: Database, run_id: str) -> list[dict[str, Any]]:
    """The rows of a run by their start."""
    query = text("SELECT * FROM mlops.stage_usage WHERE run_id = :run ORDER BY started_at")
    with database.engine.connect() as connection:
        return [dict(row) for row in connection.execute(query, {"run": run_id}).mappings()]


def assert_worked(row: dict[str, Any]) -> None:
    """The figures of the stage that works."""
    assert (row["kind"], row["product"], row["stage"], row["outcome"]) == ("product", "homes", "model", "SUCCESS")
    assert 0.5 <= row["cpu_seconds"] < 3
    assert row["wall_seconds"] >= 0.5
    assert 200 * MB < row["peak_memory_bytes"] < 1000 * MB
    assert 5 * MB <= row["written_bytes"] < 10 * MB


def metadata(platform: Platform, run_id: str) -> dict[str, float]:
    """The numbers of a run's materializations."""
    query = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
      ... on MaterializationEvent { metadataEntries { label ... on FloatMetadataEntry { floatValue } } } } } } }"""
    events = platform.query(query, id=run_id)["logsForRun"]["events"]
    return {
        e["label"]: e["floatValue"] for event in events for e in event.get("metadataEntries", []) if "floatValue" in e
    }


def test_a_forked_run_keeps_what_its_stage_used_and_tells_it_in_dagster(
    platform: Platform, with_dagster: Database
) -> None:
    run = platform.launch("train")
    assert platform.finish(run) == "SUCCESS"
    (row,) = attempts(with_dagster, run)
    assert_worked(row)
    assert (row["job"], row["attempt"]) == ("train", 1)
    told = metadata(platform, run)
    assert told["peak_memory_mb"] > 200
    assert told["written_mb"] >= 5
    assert 0.5 <= told["cpu_seconds"] <= row["cpu_seconds"] + 0.01


def test_processes_beside_the_runs_own_count_though_they_live_on(platform: Platform, with_dagster: Database) -> None:
    run = platform.launch("searching")
    assert platform.finish(run) == "SUCCESS"
    (row,) = attempts(with_dagster, run)
    assert row["cpu_seconds"] >= 0.8
    assert row["peak_memory_bytes"] > 240 * MB


def test_steps_in_processes_of_their_own_measure_themselves(platform: Platform, with_dagster: Database) -> None:
    run = platform.launch("isolated")
    assert platform.finish(run) == "SUCCESS"
    rows = {row["stage"]: row for row in attempts(with_dagster, run)}
    assert_worked(rows["model"])
    assert rows["small"]["cpu_seconds"] < 0.5
    assert rows["small"]["written_bytes"] < 5 * MB


def test_a_run_that_the_fork_server_did_not_start_is_measured_too(platform: Platform, with_dagster: Database) -> None:
    platform.stop("fork_server")
    try:
        run = platform.launch("train")
        assert platform.finish(run) == "SUCCESS"
    finally:
        platform.start_fork_server()
    assert platform.tags(run)["mlops/launched_by"] != "fork_server"
    assert_worked(*attempts(with_dagster, run))


def test_a_killed_run_leaves_an_attempt_without_an_end_which_is_lost(
    platform: Platform, with_dagster: Database
) -> None:
    run = platform.launch("waiting")
    platform.began(run)
    set_status(with_dagster, run, "STARTED")
    (begun,) = queries.of_run(with_dagster, run) or []
    assert begun.outcome == "RUNNING"
    os.kill(platform.process(run).pid, signal.SIGKILL)
    assert platform.finish(run) == "FAILURE"
    set_status(with_dagster, run, "FAILURE")
    (left,) = queries.of_run(with_dagster, run) or []
    assert (left.outcome, left.ended_at, left.cpu_seconds) == ("LOST", None, None)


def test_a_terminated_run_has_an_end(platform: Platform, with_dagster: Database) -> None:
    run = platform.launch("waiting")
    platform.began(run)
    assert platform.terminate(run) == "TerminateRunSuccess"
    assert platform.finish(run) == "CANCELED"
    (row,) = attempts(with_dagster, run)
    assert row["outcome"] == "CANCELED"
    assert row["wall_seconds"] > 0


def test_a_run_goes_on_without_the_table(platform: Platform, with_dagster: Database) -> None:
    with with_dagster.engine.begin() as connection:
        connection.execute(text("ALTER TABLE mlops.stage_usage RENAME TO away"))
    try:
        run = platform.launch("train")
        assert platform.finish(run) == "SUCCESS"
    finally:
        with with_dagster.engine.begin() as connection:
            connection.execute(text("ALTER TABLE mlops.away RENAME TO stage_usage"))
    assert attempts(with_dagster, run) == []
    assert metadata(platform, run)["peak_memory_mb"] > 200


def test_a_run_does_not_wait_for_a_table_that_somebody_has_locked(platform: Platform, with_dagster: Database) -> None:
    with with_dagster.engine.begin() as connection:
        connection.execute(text("LOCK TABLE mlops.stage_usage IN ACCESS EXCLUSIVE MODE"))
        run = platform.launch("train")
        assert platform.finish(run) == "SUCCESS"
    assert attempts(with_dagster, run) == []
