"""What Dagster's records keep of an attempt of a stage, and how it is read from there again.

Add a field here when a page or a metric should know it of every attempt. Keep out Dagster: this is the JSON of one
metadata entry, `stage_run`, of a stage's materialization or of its failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlops_assets.sandbox.order import StageOutcome

ENTRY = "stage_run"
MESSAGE, TRACEBACK = 4_000, 20_000


@dataclass(frozen=True)
class StageFacts:
    """One attempt, from 1. `status` is the sandbox's word; the error fields are null for one that completed.

    Times are seconds, memory and traffic bytes.
    """

    attempt: int
    status: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    bytes_read: int | None
    bytes_written: int | None
    exit_code: int | None
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    line: int | None = None

    @classmethod
    def of(cls, outcome: StageOutcome, attempt: int) -> StageFacts:
        """The facts of an attempt that has ended."""
        error = outcome.error
        return cls(
            attempt=attempt,
            status=outcome.status,
            wall_seconds=round(outcome.wall_seconds, 4),
            cpu_seconds=round(outcome.cpu_seconds, 4),
            peak_memory_bytes=outcome.peak_memory_bytes,
            bytes_read=outcome.bytes_read,
            bytes_written=outcome.bytes_written,
            exit_code=outcome.exit_code,
            error_type=error.type if error else None,
            error_message=error.message[:MESSAGE] if error else None,
            traceback=error.traceback[:TRACEBACK] if error else None,
            line=error.line if error else None,
        )

    def as_json(self) -> dict[str, Any]:
        """The value of the metadata entry."""
        return asdict(self)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> StageFacts:
        """From the value of the metadata entry. Raises TypeError for an entry of another shape."""
        return cls(**entry)
