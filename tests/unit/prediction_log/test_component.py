"""What a product's log adds to the code location, and that it stays out of the product's own jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import dagster as dg

from mlops_assets.prediction_log.component import HOURS, log_definitions
from mlops_assets.prediction_log.exporting import folder_of
from mlops_assets.prediction_log.hours import last_finished
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.files import Storage

RESOURCES = dg.Definitions(resources={"database": object(), "storage": object()})


def test_assets_jobs_and_schedules_of_one_product() -> None:
    declared = log_definitions("homes", "Homes", "team:homes", RolloutPolicy(log_retention_days=9, max_days=9))
    repository = dg.Definitions.merge(declared, RESOURCES).get_repository_def()
    graph = repository.asset_graph
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {
        "homes/prediction_log",
        "homes/log_retention",
    }
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"homes_log"}
    schedules = {s.name: (s.cron_schedule, s.job_name, s.default_status.value) for s in repository.schedule_defs}
    assert schedules == {
        "homes_log_export_schedule": ("10 * * * *", "homes_log_export", "RUNNING"),
        "homes_log_retention_schedule": ("40 3 * * *", "homes_log_retention", "RUNNING"),
    }
    job = repository.get_job("homes_log_export")
    assert job.partitions_def == HOURS
    assert "after 9 days" in str(repository.get_job("homes_log_retention").description)


def test_two_products_go_together() -> None:
    both = [log_definitions(name, name.title(), "team:x", RolloutPolicy()) for name in ("homes", "loans")]
    assert len(dg.Definitions.merge(*both, RESOURCES).get_repository_def().schedule_defs) == 4


def test_partitions_are_hours_of_utc() -> None:
    window = HOURS.time_window_for_partition_key("2026-11-21-06:00")
    assert window.start.astimezone(UTC) == datetime(2026, 11, 21, 6, tzinfo=UTC)
    assert HOURS.get_first_partition_key() == "2026-01-01-00:00"


def test_the_last_finished_hour_is_one_of_utc() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    assert last_finished(datetime(2026, 11, 21, 6, 10, tzinfo=india)) == datetime(2026, 11, 20, 23, tzinfo=UTC)
    assert last_finished(datetime(2026, 11, 21, 6, 0, tzinfo=UTC)) == datetime(2026, 11, 21, 5, tzinfo=UTC)


def test_an_hour_has_its_folder() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    folder = folder_of(Storage("s3://bucket/prefix"), "homes", datetime(2026, 11, 21, 4, 30, tzinfo=india))
    assert folder.url == "s3://bucket/prefix/homes/prediction_log/date=2026-11-20/hour=23"
