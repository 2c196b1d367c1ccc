"""Dagster's runs, rows and files of long ago, on real tables and a folder, and one round of removal over them.

Add here how something old comes about. Keep out what is tested.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import text

from mlops_assets.retention.round import Round, Swept
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion
from mlops_assets.storage.files import Storage
from mlops_assets.storage.io_managers import ReferenceIOManager
from mlops_assets.training.records import Record
from tests.integration.platform_tables import PlatformTables

PRODUCT = "homes"
OLD = 500


class Made(Record):
    """What a stage hands on; `other` names a run that its files are of."""

    other: str | None = None


@dataclass(frozen=True)
class OldPlatform:
    """An installation's tables and files, to be filled with what is old."""

    tables: PlatformTables
    settings: Settings

    @property
    def database(self) -> Database:
        return self.tables.database

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.tables.instance

    @property
    def storage(self) -> Storage:
        return Storage(self.settings.storage)

    def round(self, *, apply: bool = True, seconds: float = 60) -> Round:
        return Round.begun(
            self.settings, self.database, self.storage, self.instance, apply=apply, seconds=seconds
        )  # fmt: skip

    def run(self, *path: str, days: float = OLD, partition: str | None = None, **tags: str) -> str:
        """A run so long ago that made an asset of the product; its id."""
        partitions = dg.DynamicPartitionsDefinition(name="of_test") if partition else None

        @dg.asset(key=[PRODUCT, *path], partitions_def=partitions)
        def made() -> Made:
            return Made(other=tags.get("uses"))

        if partition:
            self.instance.add_dynamic_partitions("of_test", [partition])
        done = dg.materialize(
            [made],
            instance=self.instance,
            partition_key=partition,
            tags=tags,
            resources={"io_manager": ReferenceIOManager(self.storage)},
        )
        self.age(done.run_id, days)
        return done.run_id

    def age(self, run_id: str, days: float) -> None:
        """Let a run be of so many days ago."""
        self.execute(
            "UPDATE dagster.runs SET create_timestamp = :at WHERE run_id = :run",
            at=datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days),
            run=run_id,
        )

    def runs(self) -> set[str]:
        """Ids of the runs that Dagster knows."""
        return {run.run_id for run in self.instance.get_runs()}

    def events(self, run_id: str) -> int:
        """How many events of a run Dagster keeps."""
        found = self.rows("SELECT count(*) FROM dagster.event_logs WHERE run_id = :run", run=run_id)
        return int(found[0][0])

    def data_version(self) -> None:
        """The product's first."""
        with self.database.session() as session, session.begin():
            session.add(
                DatasetVersion(product=PRODUCT, version=1, sha256="0" * 64, rows=1, uri="u", source="s", sample=False)
            )

    def file(self, *parts: str, days: float = OLD, content: bytes = b"12345") -> Path:
        """A file below the storage root, written so long ago."""
        path = Path(self.settings.storage, *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return aged(path, days)

    def execute(self, statement: str, **values: Any) -> None:
        """One statement, committed. The ledger lets its rows be changed by nobody in the usual way."""
        with self.database.engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            connection.execute(text(statement), values)

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]


def aged(path: Path, days: float) -> Path:
    """The path, written so long ago, with the folders above it that hold nothing else."""
    at = time.time() - days * 86_400
    os.utime(path, (at, at))
    os.utime(path.parent, (at, at))
    return path


def nothing_but(removed: int, **others: int) -> Swept:
    """What a removal says that had no trouble."""
    return Swept(removed=removed, **others)  # type: ignore[arg-type]
