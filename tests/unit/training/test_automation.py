"""When a product trains: the sensor's answers in each situation, with a real ephemeral Dagster instance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from mlops_assets.settings import Settings
from mlops_assets.training.assets import product_assets
from mlops_assets.training.automation import data_sensor, train_job, train_schedule
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.data import watch
from mlops_assets.training.spec import Product

VARIABLE = "MLOPS_HOUSE_PRICES_SOURCE"


@pytest.fixture(scope="module")
def product() -> Product:
    return declared_products()[0]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settled file of new content, named by the product's variable; no data version is known."""
    import os

    path = tmp_path / "listings.csv"
    path.write_text("location,price\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.setenv(VARIABLE, str(path))
    monkeypatch.setattr(watch, "DatasetVersions", lambda *_: SimpleNamespace(list=lambda _: []))
    return path


def tick(product: Product, instance: dg.DagsterInstance, tmp_path: Path, cursor: str | None = None) -> Any:
    """One evaluation of the sensor."""
    resources = {"settings": Settings(home=tmp_path), "database": object()}
    context = dg.build_sensor_context(instance, cursor=cursor, resources=resources)
    return data_sensor(product, train_job(product))(context)


def test_a_new_file_is_one_request_which_says_why(
    product: Product, instance: dg.DagsterInstance, file: Path, tmp_path: Path
) -> None:
    first = tick(product, instance, tmp_path)
    (request,) = first.run_requests
    assert request.run_key.startswith("house_prices-")
    assert request.tags["mlops/trigger"] == "new_data"
    assert str(file) in request.tags["mlops/source"]
    again = tick(product, instance, tmp_path, first.cursor)
    assert not again.run_requests
    assert "unchanged" in again.skip_reason.skip_message
    assert again.cursor == first.cursor


@pytest.mark.parametrize(
    "status",
    # A queued run can't be made without a workspace; it is asked for in the same filter as these.
    [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED],
)
def test_a_run_in_progress_is_waited_for(
    product: Product, instance: dg.DagsterInstance, file: Path, tmp_path: Path, status: DagsterRunStatus
) -> None:
    create_run_for_test(instance, job_name="another_job", status=status)
    assert tick(product, instance, tmp_path).run_requests, "another job's runs don't matter"
    create_run_for_test(instance, job_name="house_prices_train", status=status)
    said = tick(product, instance, tmp_path)
    assert isinstance(said, dg.SkipReason)
    assert "house_prices_train is running" in str(said.skip_message)


def test_a_run_that_begins_during_the_look_is_waited_for_too(
    product: Product, instance: dg.DagsterInstance, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = watch.look

    def slow(*asked: Any) -> watch.Seen:
        create_run_for_test(instance, job_name="house_prices_train", status=DagsterRunStatus.STARTED)
        return look(*asked)

    monkeypatch.setattr(watch, "look", slow)
    assert isinstance(tick(product, instance, tmp_path), dg.SkipReason)


@pytest.mark.parametrize("status", [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
def test_a_finished_run_holds_nothing_up(
    product: Product, instance: dg.DagsterInstance, file: Path, tmp_path: Path, status: DagsterRunStatus
) -> None:
    create_run_for_test(instance, job_name="house_prices_train", status=status)
    assert tick(product, instance, tmp_path).run_requests


def test_a_missing_file_is_skipped_by_name_and_the_cursor_stays(
    product: Product, instance: dg.DagsterInstance, file: Path, tmp_path: Path
) -> None:
    cursor = tick(product, instance, tmp_path).cursor
    file.unlink()
    missing = tick(product, instance, tmp_path, cursor)
    assert not missing.run_requests
    assert str(file) in missing.skip_reason.skip_message
    assert missing.cursor == cursor


def test_sample_data_is_never_watched(
    product: Product, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    said = tick(product, instance, tmp_path)
    assert isinstance(said, dg.SkipReason)
    assert "sample data" in str(said.skip_message)


def test_the_variable_wins_over_the_declared_source(
    product: Product, instance: dg.DagsterInstance, file: Path, tmp_path: Path
) -> None:
    source = product.source.model_copy(update={"location": str(tmp_path / "declared.csv")})
    declared = product.model_copy(update={"source": source})
    assert str(file) in tick(declared, instance, tmp_path).run_requests[0].tags["mlops/source"]


def test_the_job_holds_every_stage_ends_in_time_and_is_scheduled(product: Product) -> None:
    job = train_job(product)
    schedule = train_schedule(product, job)
    made = dg.Definitions(
        assets=product_assets(product),
        jobs=[job],
        schedules=[schedule],
        resources=dict.fromkeys(("settings", "database", "storage", "tracking"), SimpleNamespace()),
    )
    resolved = made.resolve_job_def("house_prices_train")
    stages = {k.path[-1] for k in resolved.asset_layer.executable_asset_keys}
    assert stages == {"dataset", "features", "model", "metrics", "release"}
    assert int(resolved.tags["dagster/max_runtime"]) == product.run_timeout_seconds
    assert schedule.cron_schedule == product.schedule
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
