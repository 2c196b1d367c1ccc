"""What was used, as figures: sums of attempts, single attempts, and what they cost at an installation's prices.

Add a figure here when the API, the command line and the page should all have it. Keep out where figures come from
(`queries`) and how two weeks compare (`changes`). Pure. Times are seconds, memory and traffic bytes; a GB is 1e9 bytes;
a machine's hour is 3600 s of one core.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

By = Literal["product", "stage", "job"]
Kind = Literal["product", "pipeline", "platform"]
Outcome = Literal["SUCCESS", "FAILURE", "RETRY", "CANCELED", "RUNNING", "LOST"]

HOUR, GB = 3600.0, 1e9


@dataclass(frozen=True)
class Prices:
    """What an hour of one core, and of a GB (1e9 bytes) of memory, costs."""

    cpu_hour: float
    gb_hour: float
    currency: str

    def cost(self, cpu_seconds: float, byte_seconds: float) -> float:
        """CPU time and memory over time at these prices."""
        return cpu_seconds / HOUR * self.cpu_hour + byte_seconds / GB / HOUR * self.gb_hour


class Sums(BaseModel):
    """Attempts added up.

    `failed`, `retried` and `canceled` are those that ended so, `lost` those whose process died without telling, whose
    use isn't known or counted, `running` those that haven't ended.
    """

    model_config = ConfigDict(frozen=True)

    runs: int
    attempts: int
    failed: int
    retried: int
    canceled: int
    lost: int
    running: int
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    read_bytes: int
    written_bytes: int
    last_started_at: datetime | None


class Usage(Sums):
    """The sums of a period. `stage` or `job` is set if that is what they have in common beside the product.

    `byte_seconds`: each attempt's peak memory for all its time.
    """

    kind: Kind
    product: str
    stage: str | None
    job: str | None
    byte_seconds: float


class Attempt(BaseModel):
    """One attempt of a stage. Figures are None until it has ended, bytes also where the system doesn't count them."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    product: str
    stage: str
    attempt: int
    outcome: Outcome
    started_at: datetime
    ended_at: datetime | None
    wall_seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None


class AttemptUsage(Attempt):
    """One attempt with its run."""

    run_id: str
    job: str

    def cost(self, prices: Prices) -> float | None:
        """At these prices; None while the use isn't known."""
        if self.cpu_seconds is None or self.peak_memory_bytes is None or self.wall_seconds is None:
            return None
        return prices.cost(self.cpu_seconds, self.peak_memory_bytes * self.wall_seconds)
