"""Until when what a nightly job makes is fresh, by Dagster's own evaluation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.definitions.freshness_evaluator import CronFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time

from mlops_assets.runs.schedules import fresh_daily, scheduled_asset

KEY = dg.AssetKey(["platform", "kept"])
NIGHT = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def state(instance: dg.DagsterInstance, cron: str, at: datetime) -> FreshnessState:
    node = SimpleNamespace(key=KEY, freshness_policy_or_from_metadata=fresh_daily(cron))
    with freeze_time(at):
        found = CronFreshnessPolicyEvaluator().evaluate_freshness(LoadingContextForTest(instance), node)  # type: ignore[arg-type]
        return asyncio.run(found)


@pytest.mark.parametrize(("cron", "hours"), [("40 3 * * *", 3), ("30 23 * * *", 23)])
def test_what_a_night_made_is_fresh_until_the_next_night_did_not(
    instance: dg.DagsterInstance, cron: str, hours: int
) -> None:
    scheduled = NIGHT + timedelta(hours=hours, minutes=40 if hours == 3 else 30)
    assert state(instance, cron, scheduled + timedelta(hours=4)) == FreshnessState.UNKNOWN, "it was never made"
    with freeze_time(scheduled + timedelta(seconds=20)):
        instance.report_runless_asset_event(dg.AssetMaterialization(KEY))
    ages = {"soon": timedelta(hours=4), "next night": timedelta(hours=26, minutes=59), "late": timedelta(hours=27)}
    found = {name: state(instance, cron, scheduled + age + timedelta(seconds=1)) for name, age in ages.items()}
    passed, failed = FreshnessState.PASS, FreshnessState.FAIL
    assert found == {"soon": passed, "next night": passed, "late": failed}


def test_an_asset_that_stands_alone_has_a_job_and_a_schedule_of_its_name() -> None:
    @dg.asset(key=KEY)
    def kept() -> None: ...

    defs = scheduled_asset(kept, "35 3 * * *", "Removes what is old")
    schedule = defs.resolve_schedule_def("platform_kept_schedule")
    assert schedule.job_name == "platform_kept"
    assert (schedule.execution_timezone, schedule.default_status) == ("UTC", dg.DefaultScheduleStatus.RUNNING)
    job = defs.resolve_job_def("platform_kept")
    assert job.asset_layer.selected_asset_keys == {KEY}
