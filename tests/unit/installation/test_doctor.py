"""What the doctor asks and how it is told: variables that somebody reads, monitoring that is off, wanted, or away."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mlops_assets import cli
from mlops_assets.cli import pipeline_access
from mlops_assets.installation import doctor, monitoring
from mlops_assets.settings import Settings, load
from tests.servers import free_port


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("MLOPS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path))


def test_a_misspelt_variable_is_named_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_PORT_OFSET", "1")
    monkeypatch.setenv("MLOPS_HOUSE_PRICES_SOURCE", "x")
    answer = doctor.variables(load(), ())
    assert not answer.good
    assert answer.said == "unknown: MLOPS_PORT_OFSET"


def test_what_the_programs_of_an_installation_are_given_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in load().environment().items():
        monkeypatch.setenv(name, value)
    assert doctor.variables(load(), ()).good


def test_the_clients_variables_are_known_and_change_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load()
    for name in pipeline_access.VARIABLES:
        monkeypatch.setenv(name, "http://elsewhere.invalid")
    assert load() == before
    assert not doctor.variables(load(), ()).good
    assert doctor.variables(load(), pipeline_access.VARIABLES).good


def test_the_command_tells_the_doctor_of_the_clients_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(cli, "examine", lambda settings, console, *, others: asked.append(others) or 0)
    for name in ("MLOPS_URL", "MLOPS_TOKEN"):
        monkeypatch.setenv(name, "x")
    assert CliRunner().invoke(cli.app, ["doctor"]).exit_code == 0
    assert asked == [{"MLOPS_URL", "MLOPS_TOKEN"}]


def of_monitoring(settings: Settings) -> str:
    """What the doctor prints of monitoring, with the line after it."""
    printed = io.StringIO()
    doctor.doctor(settings, Console(file=printed, width=400), others=())
    lines = printed.getvalue().splitlines()
    (first,) = (n for n, line in enumerate(lines) if line[2:].startswith("monitoring"))
    return "\n".join(lines[first : first + 2])


@pytest.fixture
def nothing_answers(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose programs don't run: only the two questions that matter here are asked."""
    for name in ("_database", "_storage", "_dagster", "_mlflow", "_serving", "_gateway", "_channels", "_health"):
        monkeypatch.setattr(doctor, name, lambda settings: doctor.Answer(True, "not asked"))
    monkeypatch.setenv("MLOPS_PROMETHEUS_PORT", str(free_port()))
    return load()


def test_monitoring_that_nobody_wants_is_well_and_says_how_to_start_it(nothing_answers: Settings) -> None:
    said = of_monitoring(nothing_answers)
    assert said.startswith("✓ monitoring")
    assert "mlops up --monitoring" in said


def test_monitoring_that_is_wanted_and_away_is_not_well(nothing_answers: Settings) -> None:
    monitoring.folder(nothing_answers).mkdir(parents=True)
    (monitoring.folder(nothing_answers) / "wanted").touch()
    said = of_monitoring(nothing_answers)
    assert said.startswith("✗ monitoring")
    assert "ConnectError" in said
    assert "→ mlops logs prometheus" in said


def test_a_dask_cluster_is_asked_if_there_shall_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._dask(load()).good
    monkeypatch.setattr(doctor, "ASK_SECONDS", 0.2)
    monkeypatch.setenv("MLOPS_DASK_ADDRESS", f"tcp://127.0.0.1:{free_port()}")
    answer = doctor._dask(load())
    assert not answer.good
    assert answer.said.startswith("MLOPS_DASK_ADDRESS=tcp://127.0.0.1:")
