"""The page on automation: what it says of definitions made for it, and that the committed one is up to date."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.observability.automation.chart import chart
from mlops_assets.observability.automation.facts import Automation, condition_words, read
from mlops_assets.observability.automation.page import page
from mlops_assets.observability.automation.words import cron_words, duration_words
from mlops_assets.runs.stages import Stage
from mlops_assets.settings import PROJECT

COMMITTED = PROJECT / "deploy" / "AUTOMATION.md"
MAKE = """
from mlops_assets.definitions import defs
from mlops_assets.observability.automation.page import project_page
print(project_page(defs()), end="")
"""
INSTANCE: dict[str, Any] = {
    "run_coordinator": {
        "config": {
            "max_concurrent_runs": {"env": "MAX_RUNS"},
            "retry_delay_seconds": 10,
            "tag_concurrency_limits": [
                {"key": "training", "value": {"applyLimitPerUniqueValue": True}, "limit": 1},
                {"key": "training", "limit": {"env": "TRAININGS"}},
                {"key": "other", "limit": 7},
            ],
        }
    },
    "run_launcher": {"config": {"stage_grace_seconds": 30, "run_timeout_seconds": {"env": "RUN_SECONDS"}}},
    "run_retries": {"enabled": True, "max_retries": 3},
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """A product with a gated model, its picture that follows by a condition, housekeeping, a sensor of its own."""
    stage = Stage("homes", "model", 1800)

    @dg.asset(
        key=["homes", "model"],
        op_tags=stage.op_tags,
        metadata={"mlops/watches": "source", "mlops/writes": "ledger, files"},
        check_specs=[
            dg.AssetCheckSpec(
                "error_gate", asset=["homes", "model"], blocking=True, description="error | on the hold-out"
            ),
            dg.AssetCheckSpec("hint", asset=["homes", "model"]),
        ],
        description="The best model.",
    )
    def model() -> dg.MaterializeResult: ...

    @dg.asset(key=["homes", "release"], deps=[model], retry_policy=dg.RetryPolicy(max_retries=2))
    def release() -> None: ...

    @dg.asset(key=["homes", "chart"], deps=[release], automation_condition=dg.AutomationCondition.eager())
    def picture() -> None: ...

    @dg.asset(key=["homes", "cleaned_up"], partitions_def=dg.DailyPartitionsDefinition("2026-01-01"))
    def cleaned_up() -> None: ...

    train = dg.define_asset_job(
        "homes_train", selection=[model, release], tags={"training": "homes", "dagster/max_runtime": "3600"}
    )
    clean = dg.define_asset_job("homes_clean", selection=[cleaned_up])

    @dg.sensor(
        job=train, name="homes_train_on_new_data", minimum_interval_seconds=45, metadata={"mlops/watches": "source"}
    )
    def on_new_data() -> None: ...

    @dg.sensor(name="homes_block", default_status=dg.DefaultSensorStatus.RUNNING, description="Blocks.")
    def block() -> None: ...

    @dg.sensor(name="watch_everything", minimum_interval_seconds=120)
    def watch() -> None: ...

    weekly = dg.ScheduleDefinition(
        name="homes_train_schedule",
        job=train,
        cron_schedule="0 3 * * 1",
        execution_timezone="Asia/Kolkata",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    daily = dg.ScheduleDefinition(name="homes_clean_schedule", job=clean, cron_schedule="30 2 * * *")
    return dg.Definitions(
        assets=[model, release, picture, cleaned_up],
        jobs=[train, clean],
        schedules=[weekly, daily],
        sensors=[on_new_data, block, watch],
    )


@pytest.fixture(scope="module")
def facts(definitions: dg.Definitions) -> Automation:
    return read(definitions)


@pytest.fixture(scope="module")
def text(definitions: dg.Definitions) -> str:
    return page(definitions, INSTANCE)


def row(text: str, start: str) -> str:
    """The one line of a table that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return line


def test_everything_belongs_to_its_product_or_to_the_platform(facts: Automation) -> None:
    assert facts.groups == ("homes", "platform")
    groups = {trigger.name: trigger.group for trigger in facts.triggers}
    assert groups["homes_block"] == "homes"
    assert groups["watch_everything"] == "platform"


def test_assets_are_told_job_by_job_in_the_order_of_making(facts: Automation) -> None:
    assert [asset.key for asset in facts.assets] == ["homes/cleaned_up", "homes/model", "homes/release", "homes/chart"]


def test_rules_of_a_stage_and_dagsters_own_retries_are_read(facts: Automation) -> None:
    by_key = {asset.key: asset for asset in facts.assets}
    assert (by_key["homes/model"].retries, by_key["homes/model"].seconds) == (3, 1800)
    assert (by_key["homes/release"].retries, by_key["homes/release"].seconds) == (2, None)
    assert by_key["homes/cleaned_up"].partitions == "daily"
    assert by_key["homes/model"].writes == ("ledger", "files")


def test_schedules_say_when_where_and_whether_they_run(text: str) -> None:
    weekly = row(text, "`homes_train_schedule`")
    for told in ("every Monday at 03:00", "`0 3 * * 1`", "Asia/Kolkata", "`homes_train`"):
        assert told in weekly
    assert "off until switched on" in row(text, "`homes_clean_schedule`")


def test_sensors_say_what_they_watch_and_start(text: str) -> None:
    sensor = row(text, "`homes_train_on_new_data`")
    for told in ("every 45 s", "source", "`homes_train`"):
        assert told in sensor
    assert "no run" in row(text, "`homes_block`")


def test_checks_say_whether_they_block_and_their_text_keeps_the_table_whole(text: str) -> None:
    gate = row(text, "`model` | `error_gate`")
    assert "blocks" in gate
    assert "error \\| on the hold-out" in gate
    assert "tells" in row(text, "`model` | `hint`")


def test_jobs_say_who_starts_them_and_what_limits_them(text: str) -> None:
    job = row(text, "`homes_train` | `homes_train_on_new_data`")
    for told in ("`homes_train_schedule`", "model → release", "1 h", "1 with `training: homes`", "`TRAININGS` with"):
        assert told in job
    assert "`other`" not in job


def test_the_rules_of_every_run_come_from_the_instance(text: str) -> None:
    assert "`MAX_RUNS`" in row(text, "runs in progress")
    assert "| 3 | after about 10 s" in row(text, "new runs for one whose process died")


def test_the_chart_draws_the_flow_and_leaves_housekeeping_out(facts: Automation) -> None:
    drawn = chart(facts, "homes").splitlines()
    for line in (
        "data_source -.-> sensor_homes_train_on_new_data",
        "sensor_homes_train_on_new_data --> job_homes_train",
        "schedule_homes_train_schedule --> job_homes_train",
        "asset_homes_model --> asset_homes_release",
        "asset_homes_release -.-> asset_homes_chart",
        "condition_homes_chart --> asset_homes_chart",
        "asset_homes_model ==> data_ledger",
        'subgraph job_homes_train["job train"]',
        'asset_homes_model["model<br/>1 blocking gate<br/>1 check"]:::gated',
    ):
        assert line in [one.strip() for one in drawn]
    assert not [line for line in drawn if "clean" in line]


def test_every_node_of_an_edge_is_drawn(facts: Automation) -> None:
    for group in facts.groups:
        lines = [line.strip() for line in chart(facts, group).splitlines()]
        declared = {line.split("[")[0].split("(")[0].split("{")[0].removeprefix("subgraph ") for line in lines}
        for line in lines:
            for arrow in (" --> ", " -.-> ", " ==> "):
                if arrow in line:
                    assert set(line.split(arrow)) <= declared


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 * * * *", "every hour"),
        ("10 * * * *", "every hour at minute 10"),
        ("40 3 * * *", "every day at 03:40"),
        ("0 3 * * 0", "every Sunday at 03:00"),
        ("0 3 * * 7", "every Sunday at 03:00"),
        ("*/5 * * * *", "every 5 minutes"),
        ("15 4 1 * *", "on day 1 of every month at 04:15"),
        ("0 3 * * 1-5", "0 3 * * 1-5"),
        ("0 3 1 1 *", "0 3 1 1 *"),
        ("@daily", "@daily"),
    ],
)
def test_cron_lines_in_words(cron: str, words: str) -> None:
    assert cron_words(cron) == words


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (90, "90 s"), (600, "10 min"), (7200, "2 h")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


def test_conditions_in_words() -> None:
    condition = dg.AutomationCondition
    assert condition_words(condition.eager()) == "eager"
    joined = condition.any_deps_updated().since_last_handled() & ~condition.in_progress()
    assert condition_words(joined) == "any deps updated since handled and not in progress"
    assert condition_words(condition.missing() | condition.eager().with_label("mine")) == "missing or mine"


def test_the_committed_page_is_up_to_date(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLOPS_")}
    environment |= {"MLOPS_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MAKE],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if os.environ.get("UPDATE_AUTOMATION"):
        COMMITTED.write_text(done.stdout)
    assert done.stdout == COMMITTED.read_text(), "read the difference, then set UPDATE_AUTOMATION=1 once"
