"""Runs that a test plays for the pages: what each does, says and leaves, and when.

Add here what a run can do. Keep out how it is told over HTTP (`played_routes`). No real run would do a thing just when
a test looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from starlette.exceptions import HTTPException

FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
UNKNOWN = (
    *("started_at", "ended_at", "wall_seconds", "cpu_seconds", "peak_memory_bytes"),
    *("bytes_read", "bytes_written", "exit_code", "error"),
)
NO_PREVIEW: dict[str, Any] = {
    **{"columns": [], "rows": [], "total_rows": None, "text": "", "truncated": False, "image": None, "reason": ""}
}


def at(seconds_ago: float = 0.0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()


@dataclass
class PlayedRun:
    """A run that a test plays: what it says goes to whoever follows, and into what is read later."""

    view: dict[str, Any]
    stages: dict[str, dict[str, Any]]
    lines: dict[tuple[str, int], list[dict[str, Any]]] = field(default_factory=dict)
    journal: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.view["id"])

    def now(self, status: str, **more: Any) -> None:
        """The run's new state."""
        began = self.view["started_at"] or (at() if status != "PENDING" else None)
        ended = at() if status in FINAL else None
        self.view = self.view | {"status": status, "started_at": began, "ended_at": ended} | more
        if ended:
            self.view["duration_seconds"] = 1.25
        self.journal.append(("run", self.view))

    def stage(self, name: str, status: str, **more: Any) -> None:
        """A stage's new state."""
        known = self.stages[name]
        fresh: dict[str, Any] = {"status": status}
        if status == "RUNNING":
            fresh |= {"attempt": known["attempt"] + 1, "started_at": at(), "ended_at": None, "error": None}
        elif status in FINAL and known["attempt"]:
            used = {"wall_seconds": 0.42, "cpu_seconds": 0.31, "peak_memory_bytes": 123_456_789, "exit_code": 0}
            fresh |= {"ended_at": at()} | used
        self.stages[name] = known | fresh | more
        self.journal.append(("stage", self.stages[name]))

    def say(self, stage: str, *texts: str, level: str = "INFO", quietly: bool = False) -> None:
        """Lines of a stage's newest attempt; `quietly` leaves those who follow to ask for them."""
        attempt = self.stages[stage]["attempt"]
        known = self.lines.setdefault((stage, attempt), [])
        for text in texts:
            line = {"number": len(known) + 1, "at": at(), "level": level, "text": text}
            known.append(line)
            if not quietly:
                self.journal.append(("log", line | {"stage": stage, "attempt": attempt}))

    def end(self, status: str, **more: Any) -> None:
        """The last word."""
        self.now(status, **more)
        self.journal.append(("end", {}))

    def detail(self) -> dict[str, Any]:
        """The run as its own route tells it."""
        counts = [one["status"] for one in self.stages.values()]
        return self.view | {
            "stages": list(self.stages.values()),
            "succeeded": counts.count("COMPLETED"),
            "failed": counts.count("FAILED"),
            "dagster_url": f"http://127.0.0.1:3000/runs/{self.id}",
        }


@dataclass
class PlayedRuns:
    """All runs, newest first, and faults to switch on. `events` is the status that the line of events answers with."""

    runs: list[PlayedRun] = field(default_factory=list)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    previews: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: list[dict[str, Any]] = field(default_factory=list)
    events: int = 200
    cuts: int = 0
    asked: list[str] = field(default_factory=list)

    def add(self, pipeline: dict[str, Any], status: str = "PENDING", ago: float = 0.0, **more: Any) -> PlayedRun:
        """A run of a pipeline as the API tells it."""
        began = at(ago) if status != "PENDING" else None
        view: dict[str, Any] = {
            **{"id": str(uuid4()), "pipeline_id": pipeline["id"], "pipeline": pipeline["name"]},
            **{"version": pipeline["version"], "status": status, "trigger": "API", "triggered_by": "kim"},
            **{"parameters": {}, "environment": None, "tags": {}, "notes": "", "created_at": at(ago)},
            **{"started_at": began, "ended_at": at(ago - 1) if status in FINAL else None},
            **{"duration_seconds": 1.0 if status in FINAL else None, "error": None, "retry_of": None},
        }
        none: dict[str, Any] = dict.fromkeys(UNKNOWN)
        stages = {
            one["name"]: none
            | {"name": one["name"], "stage_type": one["stage_type"], "status": "PENDING", "attempt": 0, "artifacts": []}
            for one in pipeline["stages"]
        }
        run = PlayedRun(view | more, stages)
        self.runs.insert(0, run)
        return run

    def leave(self, run: PlayedRun, stage: str, name: str, preview: dict[str, Any], **more: Any) -> dict[str, Any]:
        """An artifact of a run."""
        made = {
            **{"id": str(uuid4()), "pipeline_id": run.view["pipeline_id"], "pipeline": run.view["pipeline"]},
            **{"pipeline_version": 1, "run_id": run.id, "stage": stage, "attempt": 1, "is_result": False},
            **{"name": name, "type": "DATASET", "storage": "LOCAL", "format": "parquet", "size": 2048},
            **{"sha256": "0" * 64, "type_name": "pandas.DataFrame", "location": f"pipelines/{name}", "metadata": {}},
            **{"preview": {}, "created_at": at(), "removed_at": None},
        } | more
        self.artifacts.append(made)
        self.previews[str(made["id"])] = NO_PREVIEW | preview
        return made

    def of(self, run_id: str) -> PlayedRun:
        """The run, or 404."""
        found = next((run for run in self.runs if run.id == run_id), None)
        if found is None:
            raise HTTPException(404, f"there is no run {run_id[:80]!r}")
        return found
