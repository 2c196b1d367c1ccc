"""What this service says of itself: status and reasons, the machine, the database as last seen, the model.

Add here what a person on call asks first. Keep out anything that waits: health repeats what the follower
last saw and never asks the database itself.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.served import Served
from inference.settings import ServingSettings


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


def health(settings: ServingSettings, served: Served, folder: Path) -> dict[str, Any]:
    """The body of GET /api/health; `reasons` is there only when the status is degraded."""
    model = served.model
    now = datetime.now(UTC)
    answer: dict[str, Any] = {
        "status": "degraded" if (problems := served.problems()) else "ok",
        "timestamp": now.isoformat(),
        "product": settings.product,
        "model_variant": settings.variant,
        "system": system_state(folder),
        "database": served.database,
        "model": None,
    }
    if problems:
        answer["reasons"] = problems
    if model is not None:
        manifest = model.manifest
        answer["model"] = {
            "version": manifest.version,
            "released_at": manifest.created_at.isoformat(),
            "age_seconds": round((now - manifest.created_at).total_seconds(), 3),
            "dataset": manifest.dataset.model_dump(),
            "code_version": manifest.code_version,
        }
    return answer
