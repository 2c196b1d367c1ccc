"""The resources that every asset of this deployment may ask for, built from the settings. Nothing connects yet.

Add one here when a second capability needs it; what only one needs belongs to its component.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from mlops_assets.settings import load
from mlops_assets.storage.files import Storage
from mlops_assets.storage.io_managers import ReferenceIOManager
from mlops_assets.training.tracking import Tracking


def shared_resources() -> dict[str, Any]:
    """`settings`, `database`, `storage`, `tracking` and the records' IO manager, all lazy."""
    settings = load()
    storage = Storage(settings.storage)

    def database(_: dg.InitResourceContext) -> Any:
        # SQLAlchemy is only imported by what uses it: the code location loads without.
        from mlops_assets.storage.database import Database

        return Database.connect(settings.database)

    return {
        "settings": settings,
        "database": dg.ResourceDefinition(database, description="the platform's own tables"),
        "storage": storage,
        "tracking": Tracking(settings.mlflow_server_url, settings.mlflow_url, settings.inner_headers()),
        "io_manager": ReferenceIOManager(storage),
    }
