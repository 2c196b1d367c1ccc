"""The loans product, whole or stage by stage, on the test's own servers and folders.

Add a file here for a fault that one process can show. Keep out faults of the platform's programs, which are end-to-end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.settings import Settings
from mlops_assets.storage.files import Storage
from mlops_assets.training.assets import product_assets
from mlops_assets.training.spec import Product
from tests.integration.graph_faults.loans_run import PLACE


@pytest.fixture
def place(home: Settings, loans_file: Path, postgres_url: str, mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where `loans_job` works, as the value of `PLACE`."""
    text = json.dumps(
        {"home": str(home.home), "source": str(loans_file), "database": postgres_url, "mlflow": mlflow_url}
    )
    monkeypatch.setenv(PLACE, text)
    return text


@pytest.fixture
def storage(home: Settings) -> Storage:
    return Storage(home.storage)


@pytest.fixture
def stages(resources: dict[str, Any], loans: Product, loans_file: Path) -> Callable[..., dg.ExecuteInProcessResult]:
    """Run only the named stages, each call a run of its own, on one instance."""
    located = loans.model_copy(update={"source": loans.source.model_copy(update={"location": str(loans_file)})})
    instance = dg.DagsterInstance.ephemeral()

    def run(*names: str) -> dg.ExecuteInProcessResult:
        chosen = [f"loans/{name}" for name in names] or ["*"]
        return dg.materialize(
            product_assets(located), resources=resources, instance=instance, raise_on_error=False, selection=chosen
        )

    return run
