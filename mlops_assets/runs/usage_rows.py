"""Writes rows of `StageUsage` from the process of a run: one connection, short waits, and never an error.

Keep out what is in a row (`measured_steps`). A row is written when its attempt begins and again when it ends, whole
each time, so that one whose beginning couldn't be written is there at its end.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

    from mlops_assets.runs.usage import Used

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS, STATEMENT_TIMEOUT_MS = 2, 2000
# A database that doesn't answer holds a run up so seldom.
AGAIN_AFTER_SECONDS = 30.0
# The last rows before the machine fails may be missing: nothing depends on them, and nobody waits for the disk.
OPTIONS = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c synchronous_commit=off -c timezone=UTC"


@dataclass(frozen=True)
class AttemptRow:
    """One attempt of a stage, as far as it is known. Names and units are those of `StageUsage`."""

    run_id: str
    step_key: str
    attempt: int
    kind: str
    product: str
    stage: str
    job: str
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    used: Used | None = None

    def values(self) -> dict[str, object]:
        """The columns."""
        columns = {name: value for name, value in vars(self).items() if name != "used"}
        return columns | (asdict(self.used) if self.used else dict.fromkeys(FIGURES))


FIGURES = ("wall_seconds", "cpu_seconds", "peak_memory_bytes", "read_bytes", "written_bytes")
KEY = ("run_id", "step_key", "attempt")
COLUMNS = (*KEY, "kind", "product", "stage", "job", "started_at", "ended_at", "outcome", *FIGURES)
PUT = (
    f"INSERT INTO mlops.stage_usage ({', '.join(COLUMNS)}) VALUES ({', '.join(f'%({name})s' for name in COLUMNS)}) "  # noqa: S608
    f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in KEY)
)


class UsageRows:
    """The table as a run's process writes it; `url` is asked for when there is a first row. For one thread."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._silent_until = 0.0
        self._told = False

    def put(self, row: AttemptRow) -> bool:
        """Write a row over the one that is there; whether it worked. Never raises an Exception."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            self._put(row)
        except Exception as error:  # noqa: BLE001 no run fails for what is only told of it
            self._silent_until = time.monotonic() + AGAIN_AFTER_SECONDS
            if not self._told:
                self._told = True
                log.warning("it can't be kept what the stages of this run use: %s", type(error).__name__)
            return False
        return True

    def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _put(self, row: AttemptRow) -> None:
        reused = self._connection is not None
        try:
            self._execute(row)
        except Exception:
            self.close()
            if not reused:
                raise
            # A stage may last for hours: the server may have been started anew meanwhile.
            self._execute(row)

    def _execute(self, row: AttemptRow) -> None:
        if self._connection is None:
            self._connection = _connected(self._url())
        with self._connection.cursor() as cursor:
            cursor.execute(PUT, row.values())


def _connected(url: str) -> Connection:
    """A connection of the driver's own: an engine asks the server four questions before the first statement."""
    import psycopg2
    from sqlalchemy.engine import make_url

    parts = make_url(url)
    # What the query says is the driver's own words, such as the folder of a socket.
    arguments: dict[str, Any] = {**parts.translate_connect_args(username="user", database="dbname"), **parts.query}
    options = f"{arguments.pop('options', '')} {OPTIONS}".strip()
    made = psycopg2.connect(**arguments, connect_timeout=CONNECT_TIMEOUT_SECONDS, options=options)
    made.autocommit = True
    return made
