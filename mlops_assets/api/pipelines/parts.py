"""What the routes of pipelines work with, put together once.

Add a part here when several routes need it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage

if TYPE_CHECKING:
    from dagster import DagsterInstance


@dataclass(frozen=True)
class Parts:
    """The installation as the routes see it. `instance` opens Dagster at its first call and gives the same ever after.

    `reserved` are names that no pipeline may have.
    """

    settings: Settings
    database: Database
    storage: Storage
    logs: StageLogs
    instance: Callable[[], DagsterInstance]
    reserved: frozenset[str] = frozenset()
