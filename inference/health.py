"""What this service says of itself: status and reasons, the machine, the database as last seen, log and model.

Add here what a person on call asks first. Keep out anything that waits: health repeats what the follower
last saw and never asks the database itself. Nobody reads here where things lie on this machine.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.drill import Drill
from inference.record import Journal
from inference.served import Served
from inference.settings import ServingSettings

# A path of two parts or more from the root, at the start of a word; `s3://bucket/key` has none.
_FOLDERS = re.compile(r"(?<![\w:/.])(?:file://)?/(?:[^\s/'\"<>|:;,]+/)+")


def system_state(folder: Path) -> dict[str, float]:
    """Shares in percent and free space in GB (10^9 bytes), the disk being the one that holds `folder`."""
    import psutil

    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(str(folder))
    return {
        "cpu_percent": psutil.cpu_percent(interval=None),
        "memory_percent": memory.percent,
        "memory_available_gb": round(memory.available / 1e9, 3),
        "disk_percent": disk.percent,
        "disk_free_gb": round(disk.free / 1e9, 3),
    }


def disk_folder(settings: ServingSettings) -> Path:
    """The nearest folder that exists on the disk this service writes to."""
    folder = settings.cache_dir or settings.pinned or Path.cwd()
    return next((f for f in (folder.absolute(), *folder.absolute().parents) if f.is_dir()), Path("/"))


class Health:
    """What GET /api/health and /readyz answer."""

    def __init__(self, settings: ServingSettings, served: Served, journal: Journal | None, drill: Drill) -> None:
        self._settings = settings
        self._served = served
        self._journal = journal
        self._drill = drill
        self._disk = disk_folder(settings)
        own = (settings.pinned, settings.cache_dir, settings.journal_dir)
        self._folders = [str(folder.absolute().parent) + "/" for folder in own if folder is not None]

    def full(self) -> dict[str, Any]:
        """The body of GET /api/health; `reasons` is there only when the status is degraded."""
        served = self._served
        now = datetime.now(UTC)
        journal, problems = self._journal_state(), served.problems()
        if journal is not None and journal["problem"] is not None:
            problems.append(f"the log of predictions waits in memory: {journal['problem']}")
        answer: dict[str, Any] = {
            "status": "degraded" if problems else "ok",
            "timestamp": now.isoformat(),
            "product": self._settings.product,
            "model_variant": served.label,
            "system": system_state(self._disk),
            "database": served.database,
            "journal": journal,
            "model": self._model(now),
        }
        if problems:
            answer["reasons"] = [self.without_folders(problem) for problem in problems]
        if (drill := self._drill.told(served.label)) is not None:
            answer["drill"] = drill
        return answer

    def ready(self) -> dict[str, Any]:
        """The body of GET /readyz: whether predictions can be answered now, from which release and as what."""
        serving = self._served.current
        failure = self._served.failure
        return {
            "ready": serving is not None,
            "version": serving.model.version if serving is not None else None,
            "variant": serving.label if serving is not None else self._served.label,
            "failure": self.without_folders(failure) if failure else None,
        }

    def without_folders(self, text: str) -> str:
        """The text with the last part of each local path alone."""
        for folder in self._folders:
            text = text.replace(folder, "")
        return _FOLDERS.sub("", text)

    def _journal_state(self) -> dict[str, Any] | None:
        if self._journal is None:
            return None
        state = self._journal.state()
        return {
            "backlog_bytes": state.backlog_bytes,
            "buffered_lines": state.buffered_lines,
            "lost_lines": state.lost_lines,
            "problem": self.without_folders(state.problem) if state.problem else None,
        }

    def _model(self, now: datetime) -> dict[str, Any] | None:
        serving = self._served.current
        if serving is None:
            return None
        manifest = serving.model.manifest
        return {
            "version": manifest.version,
            "released_at": manifest.created_at.isoformat(),
            "age_seconds": round((now - manifest.created_at).total_seconds(), 3),
            "dataset": manifest.dataset.model_dump(),
            "code_version": manifest.code_version,
        }
