"""Working folders of stages: private, one for each attempt, gone when it has ended however it ended.

A folder belongs to whoever holds the lock on the file beside it, which the system takes from a process that dies: what
such a process has left is removed by the next one. Keep out what a stage does in its folder.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.sandbox.collect import remove_folder

LOCK, GIVEN = ".lock", ".given"


@dataclass(frozen=True)
class StageFolder:
    """`work` is the stage's own, `given` is for results of earlier stages that have to be fetched; both are empty."""

    work: Path
    given: Path


class StageFolders:
    """The working folders below `parent`, of all runs of this machine."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent

    @contextmanager
    def taken(self, name: str) -> Iterator[StageFolder]:
        """Two new folders, removed at the end. `name` is one attempt's and nobody else's. Raises OSError."""
        # Any user may pass through, to the folder that is its own.
        self.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.remove_left()
        lock = self._locked(name)
        try:
            folder = StageFolder(self.parent / name, self.parent / f"{name}{GIVEN}")
            self._remove(name)
            for path in (folder.work, folder.given):
                path.mkdir(mode=0o700)
            yield folder
        finally:
            self._remove(name)
            self._release(name, lock)

    def remove_left(self) -> None:
        """Remove what processes that have died have left."""
        for path in self.parent.glob(f"*{LOCK}"):
            name = path.name.removesuffix(LOCK)
            try:
                lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            with suppress(OSError):  # a process of the stage is just being ended: the next one removes it
                self._remove(name)
                path.unlink(missing_ok=True)
            os.close(lock)

    def _locked(self, name: str) -> int:
        """The lock on a name; taken for as long as this process lives or until it is given back."""
        path = self.parent / f"{name}{LOCK}"
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(lock).st_ino:
                    return lock
            # Somebody has removed the file between the two calls.
            os.close(lock)

    def _release(self, name: str, lock: int) -> None:
        (self.parent / f"{name}{LOCK}").unlink(missing_ok=True)
        os.close(lock)

    def _remove(self, name: str) -> None:
        for path in (self.parent / name, self.parent / f"{name}{GIVEN}"):
            if path.exists():
                remove_folder(path)
