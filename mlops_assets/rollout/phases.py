"""The phases of a rollout, and which may follow which.

Add a phase here with its one line of meaning. Keep out what moves a rollout on (`decide`, `controller`) and how a
move is recorded (`ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Phase(StrEnum):
    """Where a rollout stands; `MEANING` has a line for each."""

    SHADOW = "shadow"
    RAMP = "ramp"
    HOLD = "hold"
    PROMOTING = "promoting"
    WATCH = "watch"
    DONE = "done"
    ROLLED_BACK = "rolled_back"
    EXPIRED = "expired"


# One line for a person on call each.
MEANING = {
    Phase.SHADOW: "the candidate is being loaded beside production and gets no users yet",
    Phase.RAMP: "the candidate serves the share of a step; larger ones are to come",
    Phase.HOLD: "the candidate serves its last share until there is a verdict",
    Phase.PROMOTING: "the release is production by decision; its service is loading it",
    Phase.WATCH: "the release serves everybody, the one before it stays loaded",
    Phase.DONE: "nothing is compared; production is settled",
    Phase.ROLLED_BACK: "the candidate, or the production that replaced another, was withdrawn",
    Phase.EXPIRED: "no verdict in time: production stays, the candidate is kept but serves nobody",
}
COMPARING = frozenset({Phase.RAMP, Phase.HOLD})
ACTIVE = frozenset({Phase.SHADOW, *COMPARING})
PROMOTED = frozenset({Phase.PROMOTING, Phase.WATCH, Phase.DONE})
OVER = frozenset({Phase.DONE, Phase.ROLLED_BACK, Phase.EXPIRED})

# SHADOW may follow everything: a new release always starts a rollout of its own.
FOLLOWS: dict[Phase, frozenset[Phase]] = {
    Phase.SHADOW: frozenset({Phase.RAMP, Phase.HOLD, Phase.PROMOTING, Phase.ROLLED_BACK, Phase.EXPIRED}),
    Phase.RAMP: frozenset({Phase.RAMP, Phase.HOLD, Phase.PROMOTING, Phase.ROLLED_BACK, Phase.EXPIRED}),
    Phase.HOLD: frozenset({Phase.HOLD, Phase.PROMOTING, Phase.ROLLED_BACK, Phase.EXPIRED}),
    Phase.PROMOTING: frozenset({Phase.WATCH, Phase.PROMOTING, Phase.ROLLED_BACK}),
    Phase.WATCH: frozenset({Phase.DONE, Phase.PROMOTING, Phase.ROLLED_BACK}),
    Phase.DONE: frozenset({Phase.PROMOTING, Phase.ROLLED_BACK}),
    Phase.ROLLED_BACK: frozenset({Phase.PROMOTING}),
    Phase.EXPIRED: frozenset({Phase.PROMOTING}),
}


def next_share(share: float, steps: Sequence[float]) -> float | None:
    """The share of the step after `share`, or None on the last one. A share set by hand goes on from where it is."""
    return next((step for step in steps if step > share), None)


def comparing_phase(share: float, steps: Sequence[float]) -> Phase:
    """RAMP while a larger share is to come, else HOLD."""
    return Phase.RAMP if next_share(share, steps) is not None else Phase.HOLD
