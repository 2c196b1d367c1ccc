"""One round of removal: where it works, until when, and whether it removes or only counts; and what came of it.

Add here what every kind of removal needs. Keep out what is removed (one file for each kind) and how long things are
kept (`policy`). Counting and removing are the same code, so that a dry run tells what a real one does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from mlops_assets.settings import Settings
    from mlops_assets.storage.database import Database
    from mlops_assets.storage.files import Storage


@dataclass(frozen=True)
class Round:
    """An installation as a removal sees it. `apply` False only counts; `until` (monotonic) is when it has to stop."""

    settings: Settings
    database: Database
    storage: Storage
    instance: DagsterInstance
    apply: bool
    until: float
    now: datetime

    @classmethod
    def begun(
        cls,
        settings: Settings,
        database: Database,
        storage: Storage,
        instance: DagsterInstance,
        *,
        apply: bool,
        seconds: float,
    ) -> Round:
        """A round that begins now and stops after so many seconds."""
        return cls(settings, database, storage, instance, apply, time.monotonic() + seconds, datetime.now(UTC))

    def before(self, days: int) -> datetime:
        """What is older than this is older than `days`."""
        return self.now - timedelta(days=days)

    @property
    def over(self) -> bool:
        """Whether its time is over; what is left waits for the next round."""
        return time.monotonic() >= self.until


@dataclass(frozen=True)
class Swept:
    """What one kind of removal did, or would do: things and their bytes, as far as these are known.

    `kept` are old enough and still needed, `failed` couldn't be removed now (the log says why), `unfinished` tells that
    the time was over before all was looked at.
    """

    removed: int = 0
    bytes: int = 0
    kept: int = 0
    failed: int = 0
    unfinished: bool = False

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            self.removed + other.removed,
            self.bytes + other.bytes,
            self.kept + other.kept,
            self.failed + other.failed,
            self.unfinished or other.unfinished,
        )
