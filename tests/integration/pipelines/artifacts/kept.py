"""Artifacts kept where a served API looks for them, and what is known of them afterwards.

Add here what keeps, ages or shows. Keep out what a stage leaves (`stage_outcomes`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select, update

from mlops_assets.pipelines.artifacts import keep
from mlops_assets.pipelines.retention import Expired, expire
from mlops_assets.pipelines.stage_logs import StageLogs
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.storage.pipeline_tables import Artifact
from tests.integration.answers import answered
from tests.integration.pipelines.artifacts.stage_outcomes import (
    attempt,
    forged,
    made_pipeline,
    outcome,
    stored,
    written,
)


class Kept:
    """Keeps artifacts of a pipeline, each in a run of its own unless the run is given."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.work = settings.home / "work"
        self.storage = Storage(settings.storage)
        self.logs = StageLogs(settings.stage_logs)
        self.pipeline = made_pipeline(database)

    def result(self, value: Any, stage: str = "prepare", **fields: Any) -> Artifact:
        """The result of a stage."""
        done = attempt(fields.pop("pipeline", self.pipeline), stage, **fields)
        return keep(self.database, self.storage, done, outcome(stored(self.work, value)))[-1]

    def beside(self, name: str, value: Any, type: str = "OTHER", text: bool = True, **metadata: Any) -> Artifact:
        """What a failed stage wrote."""
        left = written(name, stored(self.work, value, text=text), type, metadata)
        return keep(self.database, self.storage, attempt(self.pipeline), outcome(None, left))[0]

    def forged(self, form: Any, content: bytes) -> Artifact:
        """A result whose bytes a stage wrote itself."""
        done = outcome(forged(self.work, form, content))
        return keep(self.database, self.storage, attempt(self.pipeline), done)[0]

    def expire(self, going: Callable[[Collection[str]], Collection[str]] = lambda _: (), **more: Any) -> Expired:
        """Remove what is older than 30 days; no run is `going`, unless it is said."""
        return expire(self.database, self.storage, self.logs, 30, going=going, **more)


def shown(client: httpx.Client, artifact: Artifact) -> dict[str, Any]:
    """Its preview, as the API gives it."""
    return answered(client.get(f"/artifacts/{artifact.id}/preview"))


def rows(database: Database) -> list[Artifact]:
    """Every artifact's row, the oldest first."""
    with database.session() as session:
        return list(session.scalars(select(Artifact).order_by(Artifact.created_at)))


def files(storage: Storage) -> list[Path]:
    """Every file in a storage that is a folder."""
    return sorted(path for path in Path(storage.url).rglob("*") if path.is_file())


def age(database: Database, days: float, *ids: UUID) -> None:
    """Make rows older."""
    with database.session() as session, session.begin():
        older = Artifact.created_at - timedelta(days=days)
        session.execute(update(Artifact).where(Artifact.id.in_(ids)).values(created_at=older))


def age_folder(folder: Path, days: float) -> None:
    """Make a folder and all below it older."""
    moment = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (moment, moment), follow_symlinks=False)
