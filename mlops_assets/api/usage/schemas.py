"""What the usage routes give: sums of attempts by product, stage or job, what changed, the attempts of one run.

Add a field here when a page or a script needs to know it. Keep out where it is read (`observability.usage.queries`).
Times are seconds, memory and traffic bytes, costs in the currency of `prices`.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from mlops_assets.observability.usage.figures import Attempt, By, Kind, Prices, Sums


class UsageSums(Sums):
    """Attempts added up, and what they cost. `gb_hours`: each attempt's peak memory for all its time."""

    gb_hours: float
    cost: float


class UsageItem(UsageSums):
    """The sums of one product, stage or job; `stage` and `job` are null when it isn't by them."""

    kind: Kind
    product: str
    stage: str | None
    job: str | None


class UsagePage(BaseModel):
    """What began from `since` up to `until`, the dearest first; give `next_offset` as `offset` to read on.

    `total` is how many items there are; `all` adds up all of them.
    """

    since: datetime
    until: datetime
    by: By
    prices: Prices
    all: UsageSums
    items: list[UsageItem]
    total: int
    next_offset: int | None


class UsageChange(BaseModel):
    """One measure of one stage, its medians, and how many attempts each week had. `ratio` is null after nothing.

    `worse`: slower or bigger. `p_value` is corrected for all that was compared in the same product.
    """

    kind: Kind
    product: str
    stage: str
    measure: str
    before: float
    after: float
    ratio: float | None
    worse: bool
    attempts_before: int
    attempts_after: int
    p_value: float
    said: str


class UsageChanges(BaseModel):
    """What changed from the week between `since` and `middle` to the one until `until`, the worst first.

    `stages` were looked at; of these, `too_few` have less than three successful attempts in one of the weeks.
    """

    since: datetime
    middle: datetime
    until: datetime
    stages: int
    too_few: int
    changes: list[UsageChange]


class AttemptView(Attempt):
    """One attempt of a stage. Figures and cost are null while they aren't known, bytes where they aren't counted."""

    cost: float | None


class RunUsage(BaseModel):
    """The attempts of one run by their start, and what those cost of which the use is known."""

    run_id: str
    job: str | None
    prices: Prices
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    read_bytes: int
    written_bytes: int
    cost: float
    attempts: list[AttemptView]
    run_url: str
