"""What runs and their stages printed, kept in the object store too, so that it outlives the orchestrator's host.

The process of a run copies it when the run has ended; what a kill or a store that was away has kept from that, the
nightly round copies. A host that hasn't a run's folder brings it when it is asked for. Add here another folder of runs.
Keep out how each is written and read (`compute_logs`, `pipelines.stage_logs`), and for how long (`retention`).
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from mlops_assets.settings import Settings
from mlops_assets.storage.files import PARTIAL, Storage, StorageError
from mlops_assets.storage.folders import fetch_files, remove_files

FOLDER = "run_logs"
PRINTED, STAGES = "printed", "stages"
# In a run's folder on this machine: all that is in it is in the store.
MARK = ".kept"
# How long a run's process stays for it at most.
SECONDS = 20.0
# How long a page waits for the store.
WAIT_SECONDS = 5.0
# What wasn't there is asked for again after so long: pages ask again and again while a run hasn't printed anything.
AGAIN_SECONDS = 60.0
REMEMBERED = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptLogs:
    """One of the folders of this machine with a folder for each run, and its copy below `root`, by its `name` there."""

    root: Storage
    name: str
    folder: Path
    _missed: dict[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, storage: Storage, name: str, folder: Path) -> KeptLogs | None:
        """None when the storage is of this machine, where the folder itself is."""
        return None if storage.folder is not None else cls(storage.at(FOLDER), name, folder)

    def keep(self, run_id: str) -> None:
        """Copy what is there of a run; what was copied before is copied again. Raises StorageError."""
        folder = self.folder / run_id
        # In their order, so that what tells that all is there (`….complete`, a later attempt) comes late.
        for path in sorted(folder.rglob("*"), key=lambda path: (path.suffix == ".complete", path)):
            if path.is_file() and not path.name.startswith("."):
                below = path.relative_to(folder).parts[:-1]
                self.root.at(run_id, self.name, *below).write_file(path.name, path)
        if folder.is_dir():
            (folder / MARK).touch()

    def kept(self, run_id: str) -> bool:
        """Whether all that this machine has of a run that has ended was copied."""
        return (self.folder / run_id / MARK).exists()

    def bring(self, run_id: str) -> None:
        """Make the run's folder on this machine from the copy, if it has none and there is one.

        Who asks isn't kept longer than WAIT_SECONDS: what comes later is there when somebody asks again.
        """
        if (self.folder / run_id).exists() or time.monotonic() < self._missed.get(run_id, 0.0):
            return
        if len(self._missed) >= REMEMBERED:
            self._missed.clear()
        self._missed[run_id] = time.monotonic() + AGAIN_SECONDS
        thread = threading.Thread(target=self._fetch, args=(run_id,), name="bring logs", daemon=True)
        thread.start()
        thread.join(WAIT_SECONDS)

    def _fetch(self, run_id: str) -> None:
        partial = self.folder / f".{secrets.token_hex(8)}{PARTIAL}"
        try:
            # Not for other users: stages of other runs are such users.
            partial.mkdir(mode=0o700, parents=True)
            fetch_files(self.root.at(run_id, self.name), partial)
            if any(partial.iterdir()):
                (partial / MARK).touch()
                os.rename(partial, self.folder / run_id)
        except (OSError, StorageError) as error:
            log.warning("what run %s printed can't be brought: %s", run_id, error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def remove(self, run_id: str) -> None:
        """Remove a run's copy. Raises StorageError."""
        remove_files(self.root.at(run_id, self.name))


def kept_logs(settings: Settings) -> list[KeptLogs]:
    """All of an installation's; none when its storage is on this machine."""
    storage = Storage(settings.storage)
    both = {PRINTED: settings.run_logs, STAGES: settings.stage_logs}
    return [found for name, folder in both.items() if (found := KeptLogs.of(storage, name, folder)) is not None]


def keep_at_end(run_id: str, settings: Settings, seconds: float = SECONDS) -> None:
    """Copy what a run that has ended has printed, within a time limit. Never raises: the nightly round tries again."""
    found = kept_logs(settings)
    if not found:
        return

    def keep() -> None:
        try:
            for logs in found:
                logs.keep(run_id)
        except (OSError, StorageError) as error:
            log.warning("what run %s printed isn't in the store yet: %s", run_id, error)

    # The process ends without waiting for it: a store that hangs takes minutes.
    thread = threading.Thread(target=keep, name="keep logs", daemon=True)
    thread.start()
    thread.join(seconds)
