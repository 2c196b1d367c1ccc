"""What is known of one served answer, from the request to the data behind it. Pure.

Add a fact here when somebody who asks "where did this answer come from?" needs one more. Keep out where facts are read
(`records`, `files`) and how they are shown. What isn't known is None, and `missing` says why in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any

# Texts of an answer that never quote the request.
PLAIN_TEXTS = ("unit",)


class Role(StrEnum):
    """What a release was for its product at a moment; one line of meaning each."""

    PRODUCTION = "production"  # it served everybody who was on no candidate
    CANDIDATE = "candidate"  # it was compared with production
    PREVIOUS = "previous"  # it was production before, and stayed loaded to go back to
    NONE = "none"  # it had no role


class KeptIn(StrEnum):
    """Where the answer was found."""

    DATABASE = "database"
    HOURLY_FILE = "hourly_file"


@dataclass(frozen=True)
class Answer:
    """One row of the prediction log. `at` is UTC, `latency_ms` milliseconds in the service.

    `variant` is the service that answered, `assigned` the one that the gateway chose. `features` and texts of `output`
    are values of the request, and None or left out unless they were asked for. `user_hash` stands for the user.
    """

    id: str
    product: str
    at: datetime
    variant: str
    version: int
    assigned: str | None
    rollout: int | None
    step: int | None
    latency_ms: float
    request_id: str | None
    trace_id: str | None
    sample: bool
    kept_in: KeptIn
    user_hash: str | None
    features: Mapping[str, Any] | None
    output: Mapping[str, Any]

    @property
    def stood_in(self) -> bool:
        """Whether another service answered than the one that the gateway had chosen."""
        return self.assigned in ("production", "candidate") and self.variant != self.assigned


@dataclass(frozen=True)
class FeedbackGiven:
    """One feedback on the answer; `text` is what a user wrote."""

    type: str
    value: float | None
    text: str | None
    at: datetime


@dataclass(frozen=True)
class ReleaseFacts:
    """The release that answered, as it was published. Hashes are SHA-256 in hexadecimal digits.

    `labels` are those it was ever given: CO<n> as a candidate, BO<n> as production. `model_version` is its number in
    MLflow's registry. `trained_until` is the newest month of its rows, where rows have a time.
    """

    version: int
    labels: tuple[str, ...]
    published_at: datetime
    model_version: str | None
    model_sha256: str | None
    bento: str | None
    mlflow_run_id: str | None
    dagster_run_id: str | None
    code_version: str | None
    trained_until: str | None
    metrics: Mapping[str, float]
    archived_at: datetime | None


@dataclass(frozen=True)
class DataFacts:
    """The data version that the release was trained on: V<version>."""

    version: int
    sha256: str
    rows: int
    source: str | None
    sample: bool
    stored_at: datetime | None


@dataclass(frozen=True)
class Decided:
    """A decision of the ledger."""

    seq: int
    event: str
    actor: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class Standing:
    """Who served, and where the rollout stood, when the answer was given; `decision` made it so.

    `role` is the answering release's then, `came_by` the decision that gave it to it, `role_now` its present one.
    """

    phase: str
    meaning: str
    production: int | None
    candidate: int | None
    candidate_share: float
    rollout: int | None
    step: int
    paused: bool
    drift_block: str | None
    decision: Decided
    role: Role
    came_by: Decided | None
    role_now: Role


@dataclass(frozen=True)
class DriftOfDay:
    """The verdict on the UTC day of the answer, beside what `release` was trained on."""

    day: date
    status: str
    strength: float
    drifted: tuple[str, ...]
    release: int
    candidate_release: int | None
    candidate_status: str | None
    reasons: tuple[str, ...]
    has_report: bool


@dataclass(frozen=True)
class AnswerTrace:
    """An answer and all that stands behind it. `values` tells whether the request's values are in it."""

    answer: Answer
    release: ReleaseFacts | None
    data: DataFacts | None
    standing: Standing | None
    drift: DriftOfDay | None
    feedback: tuple[FeedbackGiven, ...]
    missing: tuple[str, ...]
    values: bool = True

    def without_values(self) -> AnswerTrace:
        """The same without what a person told the product, or who it was: lineage for everybody who may sign in.

        Of the answer its numbers stay; its texts (a label, reasons, notes) may quote the request.
        """
        answer = replace(self.answer, features=None, user_hash=None, output=numbers_of(self.answer.output))
        feedback = tuple(replace(one, text=None) for one in self.feedback)
        return replace(self, answer=answer, feedback=feedback, values=False)


def numbers_of(output: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers and truth values of an answer, at any depth, and its unit."""
    kept: dict[str, Any] = {}
    for name, value in output.items():
        if isinstance(value, Mapping):
            inner = numbers_of(value)
            if inner:
                kept[name] = inner
        elif isinstance(value, bool | int | float) or name in PLAIN_TEXTS:
            kept[name] = value
    return kept
