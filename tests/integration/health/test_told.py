"""The same health wherever it is asked for: the hourly report, the API for everybody and for readers, the doctor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from sqlalchemy import update

from mlops_assets.access import tokens
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.api.app import create_app
from mlops_assets.api.health.live import REPORT_LATE, LiveHealth
from mlops_assets.installation import doctor
from mlops_assets.observability.health import judge
from mlops_assets.observability.health.answer import answer as asked
from mlops_assets.observability.health.policy import HealthPolicy
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.health_tables import KeptReport
from tests.integration.health.installation import Rig
from tests.integration.serving_thread import served
from tests.servers import free_port

TOKEN = "operators-token-of-a-test"
SECRETS = ("s3cr3t", "secret_job", "127.0.0.1", "psycopg2", "/tmp/")


@pytest.fixture
def url(rig: Rig) -> Iterator[str]:
    with served(create_app(rig.settings, rig.database, token=TOKEN, subjects=[])) as found:
        yield f"{found}/api/v1/health"


def trouble(rig: Rig) -> None:
    """A platform with a full queue and a job that fails with a secret in its error."""
    rig.run("secret_job", "QUEUED", ago=7200)
    for _ in range(6):
        rig.run("secret_job", "FAILURE", steps={"p__s": "psycopg2.Error: postgresql://kim:s3cr3t@db/x in /tmp/x"})


def read(url: str, token: str | None = TOKEN) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{url}/report", headers=headers, timeout=20)


def test_everybody_is_told_figures_and_names_but_no_texts(rig: Rig, url: str) -> None:
    trouble(rig)
    rig.report()
    told = httpx.get(url, timeout=20).json()
    assert "runs wait long for their start" in told["issues"]
    assert told["status"] == "degraded"
    facts = told["facts"]
    assert (facts["queued_runs"], facts["run_slots"]) == (1, 2)
    assert facts["oldest_queued_seconds"] >= 7200
    assert 0 <= facts["heartbeat_seconds"] < 60
    assert 0 < facts["disk_free_share"] <= 1
    report = told["report"]
    kept = rig.reports()[-1].report
    assert (report["status"], report["late"]) == ("degraded", False)
    assert {one["name"] for one in report["issues"]} == {one["name"] for one in kept["issues"]}
    assert not [secret for secret in SECRETS if secret in httpx.get(url, timeout=20).text]


def test_a_reader_gets_the_whole_newest_report(rig: Rig, url: str, database: Database) -> None:
    trouble(rig)
    rig.report()
    rig.report()
    operator = Caller("operator", "operator", Role.OPERATOR, Kind.FILE)
    reader = tokens.create(database, operator, "reader", Role.VIEWER)
    told = read(url, reader).json()
    kept = rig.reports()[-1]
    assert told["id"] == kept.id == 2
    assert told["issues"] == kept.report["issues"]
    assert told["facts"]["runs"] == kept.report["facts"]["runs"]
    assert told["policy"]["max_failure_rate"] == 0.2
    assert not told["late"]
    assert "s3cr3t" not in read(url).text


@pytest.mark.parametrize("token", [None, "", "wrong-token-of-a-test"])
def test_without_a_valid_token_there_is_no_report(rig: Rig, url: str, token: str | None) -> None:
    rig.report()
    answer = read(url, token)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_before_the_first_report_readers_are_told_so(url: str) -> None:
    answer = read(url)
    assert answer.status_code == 404
    assert "platform_health" in answer.json()["detail"]
    assert httpx.get(url, timeout=20).json()["report"] is None


def test_a_late_report_is_an_issue_unless_this_was_just_started(rig: Rig) -> None:
    rig.report()
    with rig.database.session() as session, session.begin():
        old = datetime.now(UTC) - timedelta(hours=3)
        (kept,) = rig.reports()
        session.execute(update(KeptReport).values(report={**kept.report, "made_at": old.isoformat()}))
    now = [0.0]
    live = LiveHealth(rig.settings, rig.database, rig.policy, lambda: now[0])
    assert REPORT_LATE not in live().issues
    now[0] = rig.policy.report_seconds + 1
    assert REPORT_LATE in live().issues


def test_a_look_is_shared_for_a_few_seconds(rig: Rig) -> None:
    now = [0.0]
    live = LiveHealth(rig.settings, rig.database, rig.policy, lambda: now[0])
    assert live().facts.queued_runs == 0
    rig.run("a", "QUEUED")
    assert live().facts.queued_runs == 0
    now[0] = 5.0
    assert live().facts.queued_runs == 1


def test_a_report_of_another_version_does_not_break_the_answer(rig: Rig, url: str) -> None:
    rig.report()
    with rig.database.session() as session, session.begin():
        session.execute(update(KeptReport).values(report={"issues": [{"name": "unheard_of"}]}))
    told = httpx.get(url, timeout=20)
    assert told.status_code == 200
    assert told.json()["report"] is None


def names(said: str) -> set[str]:
    """The issues that a line tells: `degraded: 2 issues: a, b; …`."""
    return set(re.sub(r"^degraded: \d+ issues?(, \d+ critical)?: ", "", said).split(";")[0].split(", "))


def test_the_doctor_finds_what_the_report_finds(rig: Rig) -> None:
    trouble(rig)
    rig.report()
    rig.beat()
    answer = asked(rig.settings)
    kept = rig.reports()[-1].report
    assert not answer.good
    assert names(answer.said) == {issue["name"] for issue in kept["issues"]}
    assert "hourly report of" in answer.said
    assert len(answer.advice) == len(kept["issues"])
    assert any(line.startswith("1 run waits, the oldest (secret_job)") for line in answer.advice)


def test_the_doctor_looks_although_there_was_no_report(rig: Rig) -> None:
    trouble(rig)
    answer = asked(rig.settings)
    assert "daemon_silent" in answer.said
    assert answer.said.endswith("no hourly report yet")


def test_the_doctor_of_a_database_that_is_away(tmp_path: Path) -> None:
    nowhere = f"postgresql+psycopg2://someone:secret-word@127.0.0.1:{free_port()}/x"
    answer = asked(Settings(home=tmp_path, database_url=nowhere), HealthPolicy())
    assert (answer.good, "secret-word" in str(answer)) == (False, False)


def examined(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """The doctor's exit code and what it prints, of an installation whose parts aren't started in this test."""
    for name in (
        "_products",
        "_programs",
        "_storage",
        "_dagster",
        "_mlflow",
        "_serving",
        "_gateway",
        "_prediction_log",
    ):
        monkeypatch.setattr(doctor, name, lambda _: doctor.Answer(True, "not asked in this test"))
    monkeypatch.delenv("MLOPS_REAL_DATA", raising=False)  # these tests' own, which no installation reads
    told = StringIO()
    return doctor.doctor(rig.settings, Console(file=told, width=400), others=()), told.getvalue()


def test_the_doctor_fails_for_what_is_critical_now(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = examined(rig, monkeypatch)
    assert "✗ health" in said
    assert "daemon_silent" in said
    assert code == 1


def test_warnings_and_failures_of_the_day_are_printed_and_are_no_failure(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(rig)
    rig.beat()
    code, said = examined(rig, monkeypatch)
    assert "! health" in said
    assert "failure_rate_high" in said
    assert "→ 1 run waits, the oldest (secret_job)" in said
    assert code == 0


def test_every_command_that_is_advised_exists() -> None:
    from typer.main import get_command

    from mlops_assets.cli import app
    from mlops_assets.installation.programs import platform_programs, rollout_programs

    known = get_command(app).commands  # type: ignore[attr-defined]
    settings = Settings(home=Path("somewhere"))
    logs = {one.name for one in (*platform_programs(settings), *rollout_programs(settings, ""))} | {"mlflow"}
    sources = list(Path(judge.__file__).parent.glob("*.py"))
    assert sources
    for source in sources:
        for command, argument in re.findall(r"mlops ([a-z]+)(?: ([a-z_]+))?", source.read_text()):
            assert command in known, f"{source}: mlops {command}"
            assert command != "logs" or argument in logs or not argument, f"{source}: mlops logs {argument}"
