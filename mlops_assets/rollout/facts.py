"""The evidence that a look at a rollout rests on: plain numbers, all of them kept in the ledger.

Add a fact here when a verdict should depend on it or a person should see it. Keep out where it is read
(`evidence`) and what follows from it (`decide`). Everything here turns into JSON and back without loss.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One side of the comparison, since the rollout began.

    `requests` were assigned to the arm by the gateway; `errors` of them were not answered by its service (the
    other one answered, or nobody); `slow` took longer than production's own limit. `units` are distinct users,
    and requests without one. `raters` are distinct users that rated an answer of the arm.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    units: int = 0
    ratings: int = 0
    raters: int = 0
    mean_rating: float | None = None
    mean_ms: float | None = None
    accurate: int = 0
    too_high: int = 0
    too_low: int = 0
    mean_price_error: float | None = None
    prices: int = 0


@dataclass(frozen=True)
class Effect:
    """Candidate's mean rating minus production's, stratified by (step, day), with its confidence sequence.

    `low` and `high` hold at every look together with probability 1 - alpha.
    """

    theta: float
    se: float
    half: float
    raters: int
    production_mean: float

    @property
    def low(self) -> float:
        return self.theta - self.half

    @property
    def high(self) -> float:
        return self.theta + self.half


@dataclass(frozen=True)
class Guardrail:
    """One per-request limit: its e-value, which ends the rollout at 1/alpha, and the seconds its bad requests span."""

    name: str
    e_value: float
    limit: float
    production_bad: int
    candidate_bad: int
    span_seconds: float = 0.0

    @property
    def tripped(self) -> bool:
        return self.e_value >= self.limit


@dataclass(frozen=True)
class SampleRatio:
    """Whether users were split as told: a p-value that may be looked at any time, and the units of each arm."""

    p_value: float = 1.0
    expected_share: float | None = None
    production: int = 0
    candidate: int = 0


@dataclass(frozen=True)
class Evidence:
    """What one look saw.

    `hours` is the policy's time since the candidate got its first users, `step_hours` since its present share.
    `watermark` is the last batch of the prediction log that counted, so the look can be computed again.
    `slow_ms` is production's own p95 as fixed at the first look that could tell it.
    """

    hours: float
    step_hours: float
    production: Arm = Arm()
    candidate: Arm = Arm()
    effect: Effect | None = None
    guardrails: tuple[Guardrail, ...] = ()
    sample_ratio: SampleRatio = SampleRatio()
    slow_ms: float | None = None
    candidate_problem: str | None = None
    drift_block: str | None = None
    watermark: int = 0

    def to_json(self) -> dict[str, Any]:
        """Nested plain values, for the ledger."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Evidence:
        """What `to_json` gave."""
        values = dict(record)
        values["production"] = Arm(**values["production"])
        values["candidate"] = Arm(**values["candidate"])
        values["effect"] = Effect(**values["effect"]) if values["effect"] is not None else None
        values["guardrails"] = tuple(Guardrail(**g) for g in values["guardrails"])
        values["sample_ratio"] = SampleRatio(**values["sample_ratio"])
        return cls(**values)


@dataclass(frozen=True)
class Decision:
    """What a look concludes: a `verdict` of `decide.Verdict`, and every reason in words, the decisive ones first."""

    verdict: str
    reasons: tuple[str, ...] = field(default_factory=tuple)
