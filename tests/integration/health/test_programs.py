"""What real programs tell: Dagster's webserver of its code locations and schedules, supervisord of its programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dagster import DagsterInstance

from mlops_assets.installation import secret_files
from mlops_assets.observability.health import dagster_schedules as schedules
from mlops_assets.observability.health import machinery, programs
from mlops_assets.observability.health.facts import Program
from mlops_assets.observability.health.programs import NotToldError
from mlops_assets.settings import Settings
from tests.integration.health.installation import Rig
from tests.servers import process, running_webserver, wait_until

HOURLY = """
import dagster as dg

@dg.op
def nothing():
    pass

@dg.job
def hourly():
    nothing()

@dg.sensor(job=hourly)
def looks(context):
    pass

each_hour = dg.ScheduleDefinition(job=hourly, cron_schedule="0 * * * *")
defs = dg.Definitions(jobs=[hourly], sensors=[looks], schedules=[each_hour])
"""
BROKEN = "raise ValueError('no postgresql://kim:s3cr3t@db/x')\n"
WORKSPACE = """
load_from:
  - python_file: {relative_path: hourly.py, location_name: hourly}
  - python_file: {relative_path: broken.py, location_name: broken}
"""
START = """mutation { startSchedule(scheduleSelector: {scheduleName: "hourly_schedule",
  repositoryName: "__repository__", repositoryLocationName: "hourly"}) { __typename } }"""
HOUR = 3600.0


@pytest.fixture
def webserver(rig: Rig, tmp_path: Path) -> Iterator[str]:
    """Dagster's webserver with a location that loads and one that doesn't."""
    (tmp_path / "hourly.py").write_text(HOURLY)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)
    secret_files.prepare(rig.settings.secrets)
    home = {"DAGSTER_HOME": str(rig.instance.root_directory)}
    with running_webserver(rig.settings, tmp_path / "workspace.yaml", home) as url:
        yield url


def test_code_locations_and_late_schedules(rig: Rig, instance: DagsterInstance, webserver: str) -> None:
    found = programs.workspace(rig.settings)
    errors = {location.name: location.error for location in found.locations}
    assert errors["hourly"] is None
    assert errors["broken"]
    assert "s3cr3t" not in str(errors)
    assert found.automation == {"hourly_schedule", "looks"}
    operator = rig.settings.inner_headers("operator")
    started = httpx.post(f"{webserver}/graphql", json={"query": START}, headers=operator, timeout=20)
    assert started.json()["data"]["startSchedule"]["__typename"] == "ScheduleStateResult"
    states = schedules.running(instance, found.automation)
    assert [state.instigator_name for state in states] == ["hourly_schedule"]
    assert schedules.running(instance, {"another"}) == []
    now = time.time()
    assert schedules.late_schedules(states, {}, now + HOUR - 60) == []
    (late,) = schedules.late_schedules(states, {}, now + HOUR + 600)
    assert (late.name, round(late.seconds, -2)) == ("hourly_schedule", 600)
    selector = states[0].selector_id
    in_time = {selector: machinery.Ticks(age=10)}
    assert schedules.late_schedules(states, in_time, now + 5 * HOUR) == []
    failed = {selector: machinery.Ticks(age=10, failures=1, error="ValueError: no")}
    assert [tick.error for tick in schedules.failed_ticks(states, failed)] == ["ValueError: no"]
    facts = rig.look()
    assert facts.missing == {}
    assert (facts.platform.late, facts.platform.failed_ticks) == ((), ())


def test_a_webserver_that_is_away_or_no_dagster_is_told_without_its_address(rig: Rig) -> None:
    with pytest.raises(NotToldError) as told:
        programs.workspace(rig.settings)
    assert "127.0.0.1" not in str(told.value)


@pytest.mark.parametrize(
    ("cron", "hours"),
    [("0 * * * *", 1), (["0 3 * * *", "0 15 * * *"], 12), ("30 1 * * *", 25), ("0 2 * * 0", 7 * 24 + 1)],
)
def test_the_longest_gap_of_a_schedule(cron: str | list[str], hours: float) -> None:
    assert schedules.longest_gap(cron, 1_772_463_000.0) == hours * HOUR


def test_ticks_in_a_row(rig: Rig) -> None:
    from sqlalchemy import text

    insert = """INSERT INTO dagster.job_ticks (job_origin_id, selector_id, status, type, timestamp, tick_body)
      VALUES ('o', :selector, :status, 'SENSOR', now() AT TIME ZONE 'UTC' - make_interval(secs => :ago), :body)"""
    body = json.dumps({"error": {"message": "outer", "cause": {"message": "KeyError: 'x'\n", "cause": None}}})
    ticks = {"fails": "FFFS", "once": "FSSS", "was": "SFFF", "gone": "FFF"}
    with rig.database.engine.begin() as connection:
        for selector, statuses in ticks.items():
            for place, letter in enumerate(statuses):
                status = {"F": "FAILURE", "S": "SKIPPED"}[letter]
                values = {"selector": selector, "status": status, "ago": 30 * (place + 1), "body": body}
                connection.execute(text(insert), values)
    with rig.database.engine.connect() as connection:
        found = machinery.newest_ticks(connection, ["fails", "once", "was", "none"])
    assert {name: tick.failures for name, tick in found.items()} == {"fails": 3, "once": 1, "was": 0}
    assert found["fails"].error == "KeyError: 'x'"
    assert 30 <= found["fails"].age < 60


SUPERVISED = """
[supervisord]
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
nodaemon=true
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:daemon]
command=sleep 100
startsecs=0
[program:mlflow]
command=false
startsecs=1
startretries=0
[program:later]
command=sleep 100
autostart=false
"""


def test_programs_as_their_manager_has_them(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert programs.programs(settings, time.time()) == ()
    settings.run_dir.mkdir(parents=True)
    (settings.run_dir / "supervisord.conf").write_text(SUPERVISED.format(folder=settings.run_dir))
    binary = str(Path(sys.executable).parent / "supervisord")
    socket = settings.run_dir / "supervisor.sock"

    def states() -> dict[str, Program]:
        return {one.name: one for one in programs.programs(settings, time.time())}

    command = [binary, "-c", str(settings.run_dir / "supervisord.conf")]
    with process(command, tmp_path / "log", socket.exists):
        wait_until(lambda: states()["mlflow"].state == "FATAL", 20)
        found = states()
        assert set(found) == {"daemon", "mlflow"}
        assert found["daemon"].state == "RUNNING"
        assert 0 <= found["daemon"].seconds < 60
    socket.touch()
    with pytest.raises(NotToldError, match="process manager doesn't answer"):
        programs.programs(settings, time.time())


def test_the_prediction_log_as_its_program_told_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert programs.prediction_log(settings) is None
    settings.journal.mkdir()
    told = {"updated_at": 1000.0, "oldest_unshipped_seconds": 3.5, "backlog_bytes": 0, "last_error": ""}
    (settings.journal / programs.STATUS_FILE).write_text(json.dumps(told))
    found = programs.prediction_log(settings, 1040.0)
    assert found is not None
    assert (found.oldest_seconds, found.silent_seconds) == (3.5, 40.0)
