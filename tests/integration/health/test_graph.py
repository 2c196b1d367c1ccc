"""The health graph as Dagster runs it: real runs that failed, died and wait; its checks, its tables, its schedule."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance
from sqlalchemy import text

from mlops_assets.observability.health.component import HealthComponent
from mlops_assets.observability.health.dagster_graph import JOB, health_definitions
from mlops_assets.observability.health.look import DAEMONS
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.settings import PROJECT
from tests.integration.health.installation import Rig
from tests.integration.platform_tables import PlatformTables
from tests.servers import child_environment

KILLED = """
import os, signal, sys
import dagster as dg

@dg.op
def dies():
    os.kill(os.getpid(), signal.SIGKILL)

@dg.job
def killed_job():
    dies()

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    killed_job.execute_in_process(instance=instance)
"""


@dg.op
def refuses() -> None:
    try:
        raise ConnectionError("no way to postgresql://kim:s3cr3t@db/x")
    except ConnectionError as error:
        raise ValueError("the rows can't be read") from error


@dg.job
def failing_job() -> None:
    refuses()


def made(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """What an asset of the graph shows."""
    (event,) = result.asset_materializations_for_node(f"platform__{name}")
    return {key: value.value for key, value in event.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def killed_run(rig: Rig, folder: Path) -> None:
    """A run whose process ends with -9 in the middle of a stage, found by Dagster's monitoring."""
    script = folder / "killed.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(rig.instance.root_directory)]
    environment = child_environment({"PYTHONPATH": str(PROJECT)})
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    (run,) = rig.instance.get_runs(dg.RunsFilter(job_name="killed_job"))
    assert run.status == dg.DagsterRunStatus.STARTED
    rig.instance.report_run_failed(run, "the run's process ended unexpectedly")


def test_failed_killed_and_queued_runs_are_in_the_report(rig: Rig, instance: DagsterInstance, tmp_path: Path) -> None:
    for _ in range(5):
        failing_job.execute_in_process(instance=instance, raise_on_error=False)
    killed_run(rig, tmp_path)
    rig.run("waits", "QUEUED", ago=7200)
    result = rig.report()
    assert result.success
    runs = made(result, "run_metrics")
    assert (runs["total"], runs["failed"], runs["queued"], runs["failure_rate"]) == (7, 6, 1, 1.0)
    assert runs["chart"].startswith("![chart](data:image/png;base64,")
    patterns = made(result, "failure_patterns")["stages"]
    assert "| failing_job | refuses | 5 | 100% |" in patterns
    assert "ConnectionError: no way to postgresql" in patterns
    assert "s3cr3t" not in patterns
    assert "| killed_job | (outside of any stage) | 1 |" in patterns
    report = rig.reports()[-1].report
    named = {issue["name"]: issue for issue in report["issues"]}
    assert {"failure_rate_high", "stage_fails_often", "job_fails_in_a_row", "queue_waits"} <= set(named)
    assert "5 of 6 failures are of the same stage" in named["failure_rate_high"]["cause"]
    assert "same error each time: ConnectionError" in named["failure_rate_high"]["cause"]
    failed = {name for name, check in checks(result).items() if not check.passed}
    assert {"failure_rate", "jobs_succeed", "stage_failures", "queue", "healthy"} <= failed
    assert not {"failures", "heartbeats", "disk", "database", "clock"} & failed
    # A failed check of severity ERROR would be told by the gates' sensor as well, each hour.
    assert {check.severity for check in checks(result).values()} == {dg.AssetCheckSeverity.WARN}


def test_the_report_goes_on_from_what_the_assets_of_its_run_found(rig: Rig) -> None:
    rig.run("a", "SUCCESS")
    whole = rig.report()
    assert made(whole, "run_metrics")["success"] == 1
    kept = rig.reports()[-1].report["facts"]
    assert kept["runs"]["success"] == 1
    assert kept["at"] == made(whole, "daemon_health")["facts"]["at"]


def test_the_report_alone_looks_by_itself(rig: Rig) -> None:
    rig.run("a", "SUCCESS")
    rig.beat()
    definitions = dg.Definitions.merge(
        health_definitions(rig.policy),
        dg.Definitions(resources={"settings": rig.settings, "database": rig.database}),
    )
    job = definitions.resolve_implicit_global_asset_job_def()
    key = dg.AssetKey(["platform", "health_report"])
    assert job.execute_in_process(instance=rig.instance, asset_selection=[key]).success
    assert rig.reports()[-1].report["facts"]["runs"]["success"] == 1


def test_parts_that_are_down_are_issues_and_the_report_is_made(rig: Rig) -> None:
    (rig.settings.journal).mkdir()
    (rig.settings.journal / "status.json").write_text("{")
    with rig.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE dagster.daemon_heartbeats RENAME TO gone"))
    facts = rig.look()
    with rig.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE dagster.gone RENAME TO daemon_heartbeats"))
    assert set(facts.missing) == {"daemon", "code locations", "prediction log"}
    assert facts.platform.heartbeats is None
    assert facts.platform.database is not None
    result = rig.report()
    assert result.success
    (missing,) = [one for one in rig.reports()[-1].report["issues"] if one["subject"] == "prediction log"]
    assert missing["cause"] == "the prediction log's state can't be read"


def test_a_table_that_does_not_answer_in_time_is_told_as_that(rig: Rig) -> None:
    with rig.database.engine.begin() as connection:
        connection.execute(text("LOCK TABLE dagster.runs IN ACCESS EXCLUSIVE MODE"))
        facts = rig.look(seconds=0.3)
    assert facts.runs is None
    assert facts.missing["runs"] == "the database took longer than 0.3 s"
    assert facts.platform.database is not None


def test_a_database_that_is_away_leaves_everything_missing_with_one_reason(rig: Rig) -> None:
    from mlops_assets.observability.health.judge import judge
    from mlops_assets.storage.database import Database
    from tests.servers import free_port

    rig.database = Database.connect(f"postgresql+psycopg2://someone:secret-word@127.0.0.1:{free_port()}/x")
    report = judge(rig.look(), rig.policy)
    told = [issue for issue in report.issues if "database doesn't answer" in issue.cause]
    assert len(told) == 1
    assert "secret-word" not in report.model_dump_json()


def test_the_job_has_a_schedule_that_is_on_and_asks_for_it_every_hour() -> None:
    definitions = health_definitions(HealthPolicy())
    (schedule,) = definitions.schedules or ()
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    repository = dg.Definitions.merge(
        definitions, dg.Definitions(resources={"settings": None, "database": None})
    ).get_repository_def()
    declared = repository.get_schedule_def("platform_health_schedule")
    with dg.instance_for_test() as instance, dg.build_schedule_context(instance, repository_def=repository) as context:
        ticked = declared.evaluate_tick(context)
    assert len(ticked.run_requests or ()) == 1
    assert declared.job_name == JOB


def test_the_declared_thresholds_are_those_that_the_graph_uses(rig: Rig) -> None:
    strict = HealthComponent.get_model_cls().model_validate({"max_failures": 0})
    assert isinstance(strict, HealthPolicy)
    rig.policy = strict
    rig.run("a", "FAILURE")
    rig.report()
    assert "failures_many" in [issue["name"] for issue in rig.reports()[-1].report["issues"]]
    with pytest.raises(ValueError, match="max_failurs"):
        HealthComponent.get_model_cls().model_validate({"max_failurs": 0})


def test_dagster_refuses_a_bad_threshold_with_its_name_and_file() -> None:
    from dagster.components.testing import create_defs_folder_sandbox

    declared = {
        "type": "mlops_assets.observability.health.component.HealthComponent",
        "attributes": {"max_failurs": 3, "max_failure_rate": 7},
    }
    with create_defs_folder_sandbox() as sandbox:
        sandbox.scaffold_component(component_cls=HealthComponent, defs_path="platform", defs_yaml_contents=declared)
        with pytest.raises(Exception, match="HealthComponent") as refused, sandbox.build_all_defs():
            pass
    said = "".join(traceback.format_exception(refused.value))
    assert "max_failurs" in said
    assert "max_failure_rate" in said
    assert "defs.yaml" in said


def test_the_daemons_that_count_are_those_of_the_shipped_configuration(
    empty_tables: PlatformTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlops_assets.settings import Settings

    settings = Settings(home=tmp_path, database_url=empty_tables.url)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster_home" / "dagster.yaml").read_text())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert set(DAEMONS) == set(instance.get_required_daemon_types())


def test_two_reports_at_once_are_two_reports_and_one_notice(rig: Rig) -> None:
    rig.run("waits", "QUEUED", ago=7200)
    rig.beat()
    from mlops_assets.notifications import outbox
    from mlops_assets.notifications.links import Links
    from mlops_assets.observability.health import store
    from mlops_assets.observability.health.judge import judge

    report, links = judge(rig.look(), rig.policy), Links.of(rig.settings)
    barrier = threading.Barrier(4)

    def save(number: int) -> None:
        barrier.wait()
        store.save(rig.database, report, rig.policy, links, f"run{number}")

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(rig.reports()) == 4
    assert len(outbox.newest(rig.database, 10)) == 1
