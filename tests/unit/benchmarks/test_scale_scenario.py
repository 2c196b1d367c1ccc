"""Scenarios that can't be meant are refused with the field's name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.benchmarks.scale import scenario
from tests.benchmarks.scale.scenario import Load, ScenarioError, Setup, load_plan

PRICES = "prices: {as_of: 2026-01-01, currency: USD, cpu_hour: 1, gb_hour: 1, disk_gb_month: 1, object_gb_month: 1}\n"
ONE = "scenarios:\n  - name: tiny\n    load: {%s}\n    steps: [{change: none%s}]\n"


def plan_of(folder: Path, load: str = "predictions_per_second: 1", more: str = "") -> scenario.Plan:
    file = folder / "scale.yaml"
    file.write_text(PRICES + ONE % (load, more))
    return load_plan(file)


def test_a_scenario_is_read(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "predictions_per_second: 7", ", setup: {gateways: 3}")
    assert plan.scenarios[0].load.predictions_per_second == 7
    assert plan.scenarios[0].setups()[0][1].gateways == 3


@pytest.mark.parametrize(
    ("load", "field"),
    [
        ("predictions_per_second: -1", "predictions_per_second"),
        ("predictions_per_second: 1, pipelins: 3", "pipelins"),
        ("predictions_per_second: 1, largest_share: 1.2", "largest_share"),
        ("predictions_per_second: 1, products: 101", "products"),
        ("predictions_per_second: many", "predictions_per_second"),
        ("pipelines: 1", "predictions_per_second"),
    ],
)
def test_a_load_that_cannot_be_is_refused_by_name(tmp_path: Path, load: str, field: str) -> None:
    with pytest.raises(ScenarioError, match=rf"scale\.yaml: scenarios\.0\.load\.{field}: "):
        plan_of(tmp_path, load)


@pytest.mark.parametrize(("setup", "field"), [("gateways: 0", "gateways"), ("gatways: 2", "gatways")])
def test_a_setup_that_cannot_be_is_refused_by_step_and_name(tmp_path: Path, setup: str, field: str) -> None:
    with pytest.raises(ScenarioError, match=rf"tiny, step 1: {field}: "):
        plan_of(tmp_path, more=f", setup: {{{setup}}}")


def test_what_is_no_yaml_is_told(tmp_path: Path) -> None:
    file = tmp_path / "scale.yaml"
    file.write_text("prices: {")
    with pytest.raises(ScenarioError, match=r"scale\.yaml is no YAML"):
        load_plan(file)


def test_a_step_keeps_what_the_steps_before_changed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, more=", setup: {gateways: 3}}, {change: more, setup: {serving_hosts: 2}")
    last = plan.scenarios[0].setups()[-1][1]
    assert (last.gateways, last.serving_hosts) == (3, 2)


def test_loads_and_setups_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValidationError):
        Load(predictions_per_second=1).products = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Setup().gateways = 2  # type: ignore[misc]
