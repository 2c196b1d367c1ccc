"""The loans product trained in a process of one's own, for tests, and what a run left behind."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import dagster as dg
from mlflow import MlflowClient

from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.io_managers import ReferenceIOManager
from mlops_assets.training.assets import product_assets
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.tracking import Tracking
from tests.integration.conftest import SHOP

PLACE = "LOANS_TEST_PLACE"


class KilledError(BaseException):
    """Stands for the end of the process: nothing in the code under test may catch it as an error of its own."""


def loans_job() -> dg.JobDefinition:
    """The job of the loans product with all that it needs taken from the variable `PLACE`; any process can build it."""
    place = json.loads(os.environ[PLACE])
    product = declared_products(SHOP)[0]
    product = product.model_copy(update={"source": product.source.model_copy(update={"location": place["source"]})})
    settings = Settings(home=Path(place["home"]))
    storage = Storage(settings.storage)
    shared = {
        "settings": settings,
        "database": Database.connect(place["database"]),
        "storage": storage,
        "tracking": Tracking(place["mlflow"]),
        "io_manager": ReferenceIOManager(storage),
    }
    job = dg.define_asset_job("loans_train", selection=dg.AssetSelection.groups("loans"))
    definitions = dg.Definitions(
        assets=product_assets(product), jobs=[job], resources=shared, executor=dg.in_process_executor
    )
    return definitions.resolve_job_def("loans_train")


def run_in_child(place: str, largest_file: int | None = None) -> tuple[str, bool, str]:
    """Train once in this process: run id, success, and what failed. For processes of their own."""
    os.environ[PLACE] = place
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    result = loans_job().execute_in_process(raise_on_error=False, instance=dg.DagsterInstance.ephemeral())
    return result.run_id, result.success, told(result)


def told(result: Any) -> str:
    """Every error of a run's steps and the description of each failed check."""
    events = result.all_events
    errors = [e.event_specific_data.error.to_string() for e in events if e.is_step_failure]
    checks = [
        e.asset_check_evaluation_data for e in events if e.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    return "\n".join([*errors, *(f"{c.check_name}: {c.description}" for c in checks if not c.passed)])


def mlflow_runs(mlflow_url: str, run_ids: list[str]) -> list[Any]:
    client = MlflowClient(mlflow_url)
    experiment = client.get_experiment_by_name("loans")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return [run for run in found if run.data.tags.get("dagster_run_id") in run_ids]


def registered(mlflow_url: str, mlflow_run_id: str) -> list[str]:
    found = MlflowClient(mlflow_url).search_model_versions(f"name='loans' and run_id='{mlflow_run_id}'")
    return [v.version for v in found]
