"""What the rollout routes take and give: the bodies of orders, and a rollout as a page shows it.

Add a field here when the page or a script needs to know it. Keep out where it is read (`views`). Times are UTC, shares
are 0 to 1, differences are stars of a rating of 1 to 5.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from mlops_assets.api.rollouts.outlook import Order, Step
from mlops_assets.rollout.facts import Evidence
from mlops_assets.rollout.policy import RolloutPolicy

LARGEST_INTEGER = 2**31 - 1
LONGEST_REASON = 500
LONGEST_ACTOR = 80

Version = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Reasoned(BaseModel):
    """An order by hand: why, and by whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Annotated[Words, Field(max_length=LONGEST_REASON, description="Why; kept in the ledger for ever")]
    actor: Annotated[Words, Field(max_length=LONGEST_ACTOR, description="Who gives the order")] = "operator"

    @field_validator("reason", "actor")
    @classmethod
    def _printable(cls, value: str) -> str:
        if any(ord(character) < 32 and character not in "\n\t" for character in value):
            raise ValueError("must not hold control characters")
        return value


class ShareOrder(Reasoned):
    """The candidate's share of the users, more than 0 and less than 1."""

    share: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class PromoteOrder(Reasoned):
    """The release to promote; without one, the candidate."""

    version: Version | None = None


class StateView(BaseModel):
    """Who serves and where the rollout stands; the fields are the ledger's."""

    model_config = ConfigDict(from_attributes=True)

    product: str
    seq: int
    production: int | None
    candidate: int | None
    candidate_share: float
    rollout: int | None
    phase: str
    step: int
    paused: bool
    previous: int | None
    started_at: datetime | None
    step_at: datetime | None
    phase_at: datetime | None
    drift_block: str | None


class ReleaseView(BaseModel):
    """One release. `metrics` are those that the product's gates look at, measured on its hold-out."""

    version: int
    labels: list[str]
    created_at: datetime
    since: datetime | None = None
    data_version: int
    sample_data: bool
    run_id: str
    archived: bool
    metrics: dict[str, float]


class PhaseView(BaseModel):
    """Where a rollout stands, what that means, and since when."""

    name: str
    meaning: str
    since: datetime | None


class LookView(BaseModel):
    """What the newest look saw and concluded."""

    at: datetime
    verdict: str
    words: str
    reasons: list[str]
    evidence: Evidence


class RolloutView(BaseModel):
    """One product: who serves, where its rollout stands, why, and what comes next."""

    product: str
    title: str
    state: StateView
    phase: PhaseView
    production: ReleaseView | None
    candidate: ReleaseView | None
    previous: ReleaseView | None
    look: LookView | None
    upcoming: list[Step]
    orders: dict[str, Order]
    policy: RolloutPolicy


class PointView(BaseModel):
    """One look in the chart; the difference is None while ratings can't be compared."""

    at: datetime
    seq: int
    verdict: str
    event: str
    share: float
    theta: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    raters: int = 0


class EntryView(BaseModel):
    """One decision of the ledger. `details` is what it was made from, as it was recorded."""

    seq: int
    at: datetime
    event: str
    production: int | None
    candidate: int | None
    candidate_share: float
    rollout: int | None
    phase: str
    paused: bool
    label: str | None
    actor: str
    reason: str
    details: dict[str, Any]


class LedgerPage(BaseModel):
    """Decisions, newest first; give `next_before` as `before` to read on. None: there are no older ones."""

    entries: list[EntryView]
    next_before: int | None


class RolloutDetail(RolloutView):
    """A product with everything its page shows. `series` has one point a look, thinned to a few hundred."""

    series: list[PointView]
    releases: list[ReleaseView]
    ledger: LedgerPage


class Rollouts(BaseModel):
    """Every product that is served."""

    rollouts: list[RolloutView]


class Ordered(BaseModel):
    """The state after an order."""

    state: StateView
