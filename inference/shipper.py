"""The shipper: moves what services wrote into their journals to PostgreSQL. `python -m inference.shipper`.

Add here when a step is taken and how long to wait after a trouble. Keep out what a step does (`shipping`). It may
be killed at any moment: a segment is deleted only after everything in it is committed, and what is shipped twice
is inserted once. Kept small: no pydantic, no SQLAlchemy.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inference.failure_log import FailureLog
from inference.ship_rows import OPTIONS, LogDatabase
from inference.shipping import Shipper
from inference.timed_connection import DatabaseDownError, TimedConnection

LOOK_SECONDS = 0.2
IDLE_LOOK_SECONDS = 0.5
IDLE_AFTER_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 2.0
# Less than a program may take to stop, of which one statement may take a good part.
FINISH_SECONDS = 5.0
NICE = 5

PREFIX = "MLOPS_SHIPPER_"

log = logging.getLogger("inference.shipper")


class SettingsError(ValueError):
    """A variable is missing; the message names it."""


@dataclass(frozen=True)
class ShipperSettings:
    """What the shipper is told: the database, the folder of all journals, and the gateway's two files if any."""

    database_url: str = field(repr=False)
    journal_dir: Path
    failures_log: Path | None = None
    gateway_admin: Path | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> ShipperSettings:
        """From MLOPS_SHIPPER_DATABASE_URL, _JOURNAL_DIR, _FAILURES_LOG and _GATEWAY_ADMIN. Raises SettingsError."""

        def path(name: str) -> Path | None:
            value = environment.get(PREFIX + name)
            return Path(value) if value else None

        url, folder = environment.get(f"{PREFIX}DATABASE_URL"), path("JOURNAL_DIR")
        if not url or folder is None:
            raise SettingsError(f"give {PREFIX}DATABASE_URL and {PREFIX}JOURNAL_DIR")
        return cls(url, folder, path("FAILURES_LOG"), path("GATEWAY_ADMIN"))


class Stop:
    """Set by SIGTERM and SIGINT; sleeping ends soon after."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Take the signals over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True

    def sleep(self, seconds: float) -> None:
        """Sleep, but not on when asked to stop."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))


def run(shipper: Shipper, stop: Stop) -> None:
    """Ship until asked to stop, and then what services have left; what the database doesn't take now stays."""
    troubles, active_at = 0, time.monotonic()
    while not stop.asked:
        before = shipper.counts.predictions
        try:
            more = shipper.step()
        except DatabaseDownError as error:
            if shipper.problem is None:
                log.warning("the database takes nothing, lines wait in the journal: %s", error)
            shipper.problem = str(error)
            troubles += 1
            pause = min(LONGEST_PAUSE_SECONDS, LOOK_SECONDS * 2 ** min(troubles, 10))
        except OSError as error:
            if shipper.problem is None:
                log.error("the journal can't be read, trying on: %s", error)
            shipper.problem = f"journal: {error}"
            pause = LONGEST_PAUSE_SECONDS
        else:
            if shipper.problem is not None:
                log.info("the database takes lines again")
            shipper.problem, troubles = None, 0
            if shipper.counts.predictions > before:
                active_at = time.monotonic()
            idle = time.monotonic() - active_at > IDLE_AFTER_SECONDS
            pause = 0.0 if more else IDLE_LOOK_SECONDS if idle else LOOK_SECONDS
        shipper.write_status()
        stop.sleep(pause)
    _finish(shipper)
    shipper.write_status(now=True)


def _finish(shipper: Shipper) -> None:
    """A host that is taken away for good leaves nothing behind: its services have stopped before."""
    until = time.monotonic() + FINISH_SECONDS
    try:
        while shipper.step() and time.monotonic() < until:
            pass
    except (DatabaseDownError, OSError) as error:
        log.warning("the end of the journal isn't shipped: %s", error)


def only_one(root: Path, stop: Stop) -> int:
    """Wait until no other shipper is at work in this folder; a descriptor that holds the lock."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(root / ".shipper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    told = False
    while not stop.asked:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except OSError:
            if not told:
                log.info("another shipper is at work in %s; waiting for its end", root)
            told = True
            stop.sleep(LOOK_SECONDS)
    return file


def main(environment: Mapping[str, str]) -> int:
    """Run until SIGTERM; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = ShipperSettings.read(environment)
    except SettingsError as error:
        log.error("%s", error)
        return 2
    os.nice(NICE)
    stop = Stop()
    stop.install()
    lock = only_one(settings.journal_dir, stop)
    connection = TimedConnection(settings.database_url, name="inference shipper", options=OPTIONS)
    failures = None
    if settings.failures_log is not None:
        failures = FailureLog(settings.failures_log, settings.gateway_admin)
    database = LogDatabase(connection)
    try:
        run(Shipper(settings.journal_dir, database, failures), stop)
    finally:
        database.close()
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
