"""What a product declares about its rollouts: how evidence is judged, how traffic rises, how long things are kept.

Add a field here when a team should be able to choose it in YAML. Keep out how it is judged (`decide`,
`confidence`, `guardrails`). Defaults are those of the simulations that the tests repeat.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SECONDS_PER_HOUR = 3600.0
HOURS_PER_DAY = 24.0
# The job <product>_rollout looks at the evidence once in an hour of the policy's time.
LOOK_HOURS = 1.0

Share = Annotated[float, Field(gt=0, lt=1)]


class Spec(BaseModel):
    """Frozen; a typo is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Guardrails(Spec):
    """Per-request limits that end a rollout at once, relative to production in the same rollout.

    `rate_ratio`: how many times its traffic share the candidate's share of bad requests may be. `alpha` bounds the
    chance that each of them ever ends an innocent candidate. `sustained_seconds`: bad requests must span at least
    this long, so that one restart of a process ends nothing. `max_error_share` is absolute and counts only while
    production itself keeps it. A request is slow above production's own p95, but never below `least_slow_ms`: nobody
    feels a millisecond.
    """

    rate_ratio: float = Field(default=1.5, gt=1, le=10)
    alpha: float = Field(default=0.001, gt=0, lt=0.5)
    sustained_seconds: float = Field(default=60, ge=0)
    max_error_share: Share = 0.01
    least_slow_ms: float = Field(default=10, ge=0)


class ThresholdRule(Spec):
    """The reference rule: score = 0.7 · mean rating / 5 + 0.3 · max(0, (5000 - mean ms) / 5000).

    Known from the system it comes from, and wrong by chance far too often: see `mlops rollout simulate`.
    """

    promote_above: float = 1.05
    roll_back_below: float = 0.8
    min_requests: int = Field(default=50, ge=1)
    min_ratings: int = Field(default=10, ge=1)


class RolloutPolicy(Spec):
    """How a candidate is compared with production and what follows. Times in hours or days, shares of traffic.

    `margin` is the least relative improvement of the mean rating: 0 for "better", negative for "not worse",
    positive for a practical effect. `expected_raters` tunes where the confidence sequence is tightest.
    `time_scale` divides every duration; only `mlops traffic` raises it, to show a day in a minute.
    """

    policy: Literal["sequential", "threshold"] = "sequential"
    steps: tuple[Share, ...] = (0.2,)
    step_hours: float = Field(default=24, gt=0)
    margin: float = Field(default=0.0, gt=-1, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    expected_raters: int = Field(default=500, ge=10)
    min_hours: float = Field(default=24, ge=0)
    min_promote_raters: int = Field(default=50, ge=2)
    min_rollback_raters: int = Field(default=20, ge=2)
    min_sample_ratio_p: float = Field(default=0.001, gt=0, lt=0.5)
    max_days: float = Field(default=14, gt=0)
    watch_hours: float = Field(default=24, ge=0)
    load_minutes: float = Field(default=30, gt=0)
    retrain_cooldown_hours: float = Field(default=24, ge=0)
    error_maturity_days: float = Field(default=7, ge=0)
    guardrails: Guardrails = Guardrails()
    threshold: ThresholdRule = ThresholdRule()
    log_retention_days: int = Field(default=90, ge=1)
    keep_releases: int = Field(default=20, ge=3)
    time_scale: float = Field(default=1, ge=1, le=100_000)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.steps:
            raise ValueError("steps: give at least one share of traffic")
        if any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError("steps: each share must be larger than the one before, so that no user moves back")
        if self.log_retention_days < self.max_days:
            raise ValueError("log_retention_days: must be at least max_days, or a rollout would lose its ratings")
        return self

    def hours(self, seconds: float) -> float:
        """Hours of the policy's time in `seconds` of real time."""
        return seconds * self.time_scale / SECONDS_PER_HOUR

    def scaled(self, time_scale: float) -> RolloutPolicy:
        """The same policy with its time compressed `time_scale` times."""
        return self.model_copy(update={"time_scale": time_scale})
