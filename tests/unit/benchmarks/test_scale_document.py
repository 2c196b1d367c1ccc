"""The document's tables are those that the script makes of the results as they are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scale import __main__ as command
from tests.benchmarks.scale import costs, document, scenario, validation


@pytest.fixture(scope="module")
def tables() -> document.Tables:
    measured = costs.read()
    return document.Tables(measured, scenario.load_plan(), validation.points(measured), costs.loads())


def test_the_document_is_up_to_date(tables: document.Tables) -> None:
    text = document.FILE.read_text()
    assert document.refreshed(text, tables) == text, "run: python -m tests.benchmarks.scale --write"


def test_every_scenario_has_its_steps_in_the_document(tables: document.Tables) -> None:
    marks = {mark["name"] for mark in document.MARK.finditer(document.FILE.read_text())}
    assert {f"steps {one.name}" for one in tables.plan.scenarios} <= marks


def test_only_what_is_between_marks_changes(tables: document.Tables) -> None:
    text = "before\n<!-- scale: prices -->\nold\n<!-- end -->\nafter\n"
    made = document.refreshed(text, tables)
    assert made.startswith("before\n<!-- scale: prices -->\n| what |")
    assert made.endswith("|\n<!-- end -->\nafter\n")
    assert document.refreshed(made, tables) == made


def test_a_mark_of_no_table_is_refused_by_name(tables: document.Tables) -> None:
    with pytest.raises(document.DocumentError, match="there is no table 'weather'"):
        document.refreshed("<!-- scale: weather -->\n<!-- end -->", tables)


def test_an_outdated_document_is_told_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "SCALE.md"
    file.write_text("<!-- scale: prices -->\nold\n<!-- end -->\n")
    monkeypatch.setattr(document, "FILE", file)
    assert command.main(["--check"]) == 1
    assert "SCALE.md isn't up to date" in capsys.readouterr().err
    assert command.main(["--write"]) == 0
    assert command.main(["--check"]) == 0


def test_an_unknown_scenario_names_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--scenario", "galaxy"]) == 1
    told = capsys.readouterr().err
    assert "galaxy" in told
    assert "laptop" in told


def test_one_scenario_is_shown_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--scenario", "laptop"]) == 0
    told = capsys.readouterr().out
    assert "steps of laptop" in told
    assert "the goal" not in told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0 kB"), (2_500, "2.5 kB"), (3.2e9, "3.2 GB"), (1.25e13, "12.5 TB")],
)
def test_volumes_read_well(value: float, told: str) -> None:
    assert document.volume(value) == told


@pytest.mark.parametrize(("value", "told"), [(0.25, "0.25 s"), (90, "90 s"), (600, "10 min"), (9000, "2.5 h")])
def test_times_read_well(value: float, told: str) -> None:
    assert document.seconds(value) == told
