"""What a product promises its users, and alerts are measured by.

Add an objective here when a team should be able to promise it in YAML. Keep out how it is watched: the rules are in
`deploy/prometheus/rules/objectives.yml`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

# What services count their answers by (`inference.metrics`): an objective between two of these couldn't be measured.
LATENCIES_MS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


class Objectives(BaseModel):
    """`availability` is the share of requests that aren't answered with an error of ours.

    `latency_share` is that of predictions which take at most `latency_ms`, one of `LATENCIES_MS`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A share that burns 14 times too fast must still be less than all.
    availability: float = Field(default=0.995, ge=0.95, lt=1)
    latency_ms: float = 100
    latency_share: float = Field(default=0.99, ge=0.95, lt=1)

    @field_validator("latency_ms")
    @classmethod
    def _measured(cls, latency_ms: float) -> float:
        if latency_ms not in LATENCIES_MS:
            raise ValueError(f"must be one of {', '.join(f'{ms:g}' for ms in LATENCIES_MS)}")
        return latency_ms
