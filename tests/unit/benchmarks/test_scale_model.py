"""Behaviours of the model of scale: proportions, what ends first by hand, and what it costs."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pytest

from tests.benchmarks.scale import costs as costs_module
from tests.benchmarks.scale import model, money, validation
from tests.benchmarks.scale.costs import Costs
from tests.benchmarks.scale.scenario import Load, Prices, Setup

# Every cost is 1, so that a figure can be followed by hand.
ONES = Costs(**{field.name: 1.0 for field in fields(Costs)})
APART = Setup(one_machine_cores=0)


def by_name(costs: Costs, load: Load, setup: Setup) -> dict[str, model.Resource]:
    return {resource.name: resource for resource in model.resources(costs, load, setup)}


@pytest.mark.parametrize(
    "name",
    [
        "gateway: its threads",
        "gateway: requests it lets through",
        "serving: the largest product's workers",
        "serving: cores",
        "log: rows shipped",
        "database: cores",
        "database: write-ahead log",
    ],
)
def test_twice_the_predictions_use_twice_as_much(name: str) -> None:
    nothing_else = replace(ONES, idle_postgres_cores=0)
    once, twice = (by_name(nothing_else, Load(predictions_per_second=rate), APART)[name] for rate in (300, 600))
    assert twice.used == pytest.approx(2 * once.used)
    assert twice.capacity == once.capacity


@pytest.mark.parametrize(
    "name",
    ["runs: slots of pipelines", "runs: started one after the other", "daemon: schedules, one after the other"],
)
def test_twice_the_runs_use_twice_as_much(name: str) -> None:
    once, twice = (
        by_name(ONES, Load(predictions_per_second=0, runs_per_day=runs), APART)[name] for runs in (1000, 2000)
    )
    assert twice.used == pytest.approx(2 * once.used)


def test_what_ends_first_is_what_a_hand_finds() -> None:
    # 1,000 a second at the peak. Envoy: 100 µs each are 0.1 of a core. The one worker of the only product: 800 µs each
    # are 0.8 of a core. The shipper: 500 rows a second of 1,000. The gateway lets 5,000 through: 0.2.
    costs = replace(
        ONES, gateway_cpu_us=100, service_cpu_us=800, shipped_per_second=1000, exported_per_second=1e9,
        deleted_per_second=1e9, service_mb=100, saving_seconds=1e-9, verdict_rating_us=1e-6, drift_read_us=1e-9,
        row_bytes=1e-3, row_index_bytes=0, feedback_bytes=0, user_bytes=0, line_bytes=1e-3, postgres_cpu_us=1e-3,
        idle_cores=0, idle_postgres_cores=0, exporter_cores=0, data_csv_bytes=1e9, drift_seconds=1,
        deploy_few_seconds=0.1,
    )  # fmt: skip
    load = Load(predictions_per_second=500, peak=2, rated_share=0)
    found = model.resources(costs, load, APART)
    ends = model.first(found)
    assert (ends.name, ends.share) == ("serving: the largest product's workers", pytest.approx(0.8))
    more = model.first(model.resources(costs, load, APART.model_copy(update={"serving_hosts": 4})))
    assert (more.name, more.share) == ("log: rows shipped", pytest.approx(0.5))


def test_a_second_shipper_helps_only_when_both_may_write() -> None:
    load = Load(predictions_per_second=1000)
    hosts = by_name(ONES, load, APART.model_copy(update={"serving_hosts": 2}))["log: rows shipped"]
    writers = by_name(ONES, load, APART.model_copy(update={"log_writers": 2}))["log: rows shipped"]
    assert hosts.share == pytest.approx(2 * writers.share)


def test_what_grows_with_pipelines_is_a_line_through_what_was_measured() -> None:
    costs = replace(ONES, tick_seconds=0.1, tick_many_seconds=0.298)
    few, many, more = (
        model.tick_seconds(costs, Load(predictions_per_second=0, pipelines=pipelines)) for pipelines in (3, 1000, 2000)
    )
    assert (few, many, more) == pytest.approx((0.1, 0.298, 0.498))


def test_nothing_gets_cheaper_by_more_pipelines() -> None:
    costs = replace(ONES, tick_seconds=0.39, tick_many_seconds=0.37)
    assert model.tick_seconds(costs, Load(predictions_per_second=0, pipelines=10_000)) == 0.39


def test_partitions_of_their_own_leave_nothing_to_delete() -> None:
    load, name = Load(predictions_per_second=10, products=2), "log: a day of the largest product deleted"
    assert name in by_name(ONES, load, APART)
    assert name not in by_name(ONES, load, APART.model_copy(update={"own_partitions": True}))
    assert name not in by_name(ONES, load.model_copy(update={"products": 1}), APART)


def test_one_machine_has_all_parts_on_its_cores() -> None:
    load = Load(predictions_per_second=1000, runs_per_day=1000)
    apart, together = by_name(ONES, load, APART), by_name(ONES, load, Setup(one_machine_cores=4))
    parts = ("gateway: its threads", "serving: cores", "database: cores", "orchestrator: cores")
    assert together["machine: cores"].used == pytest.approx(sum(apart[name].used for name in parts))
    assert "machine: cores" not in apart


def test_runs_are_kept_for_ever_unless_days_are_given() -> None:
    load = Load(predictions_per_second=0, runs_per_day=100, horizon_days=1000)
    ever, ninety = (model.sizes(ONES, load, APART.model_copy(update={"event_days": days})).runs for days in (0, 90))
    assert ever == pytest.approx(ninety * 1000 / 90)


def test_the_log_keeps_its_days_and_parquet_keeps_everything() -> None:
    load = Load(predictions_per_second=1, horizon_days=365)
    kept = model.sizes(replace(ONES, row_index_bytes=0), load, APART.model_copy(update={"log_days": 73}))
    assert kept.parquet == pytest.approx(5 * kept.predictions)


def test_hosts_are_paid_for_busy_or_not() -> None:
    prices = Prices(as_of=date(2026, 1, 1), currency="USD", cpu_hour=1, gb_hour=0, disk_gb_month=0, object_gb_month=0)
    calm, busy = (model.sizes(ONES, Load(predictions_per_second=rate), APART) for rate in (1, 100))
    assert money.monthly(money.bought(APART, calm), prices) == money.monthly(money.bought(APART, busy), prices)
    more = APART.model_copy(update={"gateways": 2})
    added = money.monthly(money.bought(more, calm), prices) - money.monthly(money.bought(APART, calm), prices)
    assert added == pytest.approx(730 * APART.gateway_cores)


def test_object_storage_is_paid_by_what_is_kept() -> None:
    prices = Prices(as_of=date(2026, 1, 1), currency="USD", cpu_hour=0, gb_hour=0, disk_gb_month=0, object_gb_month=2)
    kept = model.sizes(ONES, Load(predictions_per_second=0, data_tb=3), APART)
    assert money.monthly(money.bought(APART, kept), prices) == pytest.approx(6000)


def test_every_cost_has_a_place_in_the_results() -> None:
    assert {field.name for field in fields(Costs)} == set(costs_module.SOURCES)
    assert costs_module.read().gateway_cpu_us > 0


def test_a_missing_result_names_the_file_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(costs_module.CostError, match=r"\w+\.json is missing: run `python -m tests\.benchmarks\.\w+`"):
        costs_module.read(tmp_path)


def test_a_missing_figure_names_its_place() -> None:
    with pytest.raises(costs_module.CostError, match=r"a\.json has no b/c"):
        costs_module.at({"b": {"d": 1}}, "b/c", "a")


def test_the_load_of_a_measurement_is_told_by_part_and_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs_module, "FILES", ("a", "b", "c"))
    (tmp_path / "a.json").write_text('{"x": {"load_average": [1.5, 3.0]}, "y": {"load_average": 2.0}}')
    (tmp_path / "b.json").write_text('{"load_average": 4.0, "x": {"z": 1}}')
    (tmp_path / "c.json").write_text("{}")
    assert costs_module.loads(tmp_path) == {"a, x": 1.5, "a, y": 2.0, "b": 4.0, "c": None}


def test_runs_at_the_limit_end_wave_by_wave() -> None:
    # A second of work, half of a core each, two at once on two cores: three waves, each begun at a look.
    idle = replace(ONES, run_seconds=0, stage_seconds=0, run_cpu_seconds=0.5, stage_cpu_seconds=0, launch_seconds=0)
    assert validation.all_done(idle, count=6, limit=2, every=0, work=1) == pytest.approx(3)
    # With four cores' worth of work a wave takes twice as long.
    busy = replace(idle, run_cpu_seconds=2)
    assert validation.all_done(busy, count=6, limit=2, every=0, work=1) == pytest.approx(6)
