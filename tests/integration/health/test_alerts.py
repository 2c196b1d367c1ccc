"""From the report to people: once, whatever is killed in between, however often it is looked at."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from mlops_assets.notifications import outbox
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind
from mlops_assets.observability.health import store
from mlops_assets.observability.health.judge import judge
from mlops_assets.settings import PROJECT
from mlops_assets.storage.database import Database
from mlops_assets.storage.health_tables import KeptReport
from tests.integration.health.installation import Rig
from tests.integration.notifications.notified import HandClock
from tests.integration.notifications.notifying import Kept, Notifying
from tests.integration.platform_tables import PlatformTables
from tests.servers import child_environment

# Dies after the notice was added, before the transaction ends.
KILLED = """
import os, signal, sys
from mlops_assets.notifications import from_health, outbox
from mlops_assets.notifications.links import Links
from mlops_assets.observability.health import store
from mlops_assets.observability.health.issues import HealthReport
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.storage.database import Database

add = outbox.add
def killed(*arguments):
    assert add(*arguments) == 1
    os.kill(os.getpid(), signal.SIGKILL)
outbox.add = killed
report = HealthReport.model_validate_json(open(sys.argv[2]).read())
links = Links("https://mlops.example", "https://dagster.example")
store.save(Database.connect(sys.argv[1]), report, HealthPolicy(), links, "killed")
"""
WAITS, WELL = "[platform] degraded: queue_waits", "[platform] healthy again"


@pytest.fixture
def notifying(database: Database, tmp_path: Path) -> Notifying:
    return Notifying(database, HandClock(datetime.now(UTC)), Kept(), tmp_path)


def save(rig: Rig, run: str) -> str | None:
    """A report on what there is, without the parts that aren't started in this test."""
    rig.beat()
    facts = rig.look().model_copy(update={"missing": {}})
    return store.save(rig.database, judge(facts, rig.policy), rig.policy, Links.of(rig.settings), run).told


def clear_queue(rig: Rig) -> None:
    from sqlalchemy import text

    with rig.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM dagster.runs WHERE status = 'QUEUED'"))


def test_a_day_of_the_same_issue_is_one_message_and_its_end_another(rig: Rig, notifying: Notifying) -> None:
    rig.run("waits", "QUEUED", ago=7200)
    for hour in range(24):
        save(rig, f"run{hour}")
        # A notifier of its own each hour: what was told must not depend on its memory.
        notifying.pass_by(notifying.start(), 3600)
    assert notifying.kept.titles == [WAITS]
    clear_queue(rig)
    for hour in range(24, 29):
        save(rig, f"run{hour}")
        notifying.pass_by(notifying.start(), 3600)
    assert notifying.kept.titles == [WAITS, WELL]
    for notifier in notifying.made:
        notifier.stop()


def test_a_restart_between_report_and_message_tells_it_once(rig: Rig, notifying: Notifying) -> None:
    rig.run("waits", "QUEUED", ago=7200)
    assert save(rig, "run1") == WAITS
    first, second = notifying.start(), notifying.start()
    first.step()  # noted, and the notifier is gone before it decides
    notifying.pass_by(second)
    notifying.pass_by(notifying.start())
    assert notifying.kept.titles == [WAITS]
    for notifier in notifying.made:
        notifier.stop()


def test_a_report_that_is_killed_before_its_end_is_neither_kept_nor_told_and_the_next_tells(
    rig: Rig, empty_tables: PlatformTables, tmp_path: Path
) -> None:
    rig.run("waits", "QUEUED", ago=7200)
    rig.beat()
    (tmp_path / "report.json").write_text(judge(rig.look(), rig.policy).model_dump_json())
    command = [sys.executable, "-c", KILLED, empty_tables.url, str(tmp_path / "report.json")]
    environment = child_environment({"PYTHONPATH": str(PROJECT)})
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert rig.reports() == []
    assert outbox.newest(rig.database, 5) == []
    assert save(rig, "next") == WAITS
    (told,) = outbox.newest(rig.database, 5)
    assert told.notice.kind is Kind.HEALTH


def test_the_second_try_of_the_same_run_changes_nothing(rig: Rig) -> None:
    rig.run("waits", "QUEUED", ago=7200)
    assert save(rig, "run1") == WAITS
    assert save(rig, "run1") is None
    assert len(rig.reports()) == len(outbox.newest(rig.database, 5)) == 1


def test_reports_are_kept_for_as_long_as_the_policy_says(rig: Rig) -> None:
    for run in ("old", "new"):
        save(rig, run)
    with rig.database.session() as session, session.begin():
        for run, days in (("old", 400), ("new", 399)):
            changed = update(KeptReport).where(KeptReport.run_id == run)
            session.execute(changed.values(made_at=datetime.now(UTC) - timedelta(days=days, minutes=1)))
    save(rig, "newest")
    assert [row.run_id for row in rig.reports()] == ["new", "newest"]


def test_an_error_with_what_postgres_cannot_hold_is_kept(rig: Rig) -> None:
    rig.run("trains", "FAILURE", steps={"p__s": "boom \x00 \ud800 end"})
    save(rig, "run1")
    kept = store.newest(rig.database)
    assert kept is not None
    assert kept[1].facts.failures is not None
    assert "boom" in kept[1].facts.failures.stages[0].errors[0].line
