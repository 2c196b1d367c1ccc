"""The phases of a rollout, and which may follow which.

Add a phase here with its one line of meaning. Keep out what moves a rollout on (`decide`, `controller`) and how a
move is recorded (`ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class Phase(StrEnum):
    """Where a rollout stands; one line of meaning each."""

    SHADOW = "shadow"  # the candidate is being loaded beside production and gets no users yet
    RAMP = "ramp"  # it serves the share of a step that isn't the last
    HOLD = "hold"  # it serves the last share until there is a verdict
    PROMOTING = "promoting"  # it is production by decision; its service is loading it
    WATCH = "watch"  # it serves everybody, the release before it stays loaded
    DONE = "done"  # nothing is compared; production is settled
    ROLLED_BACK = "rolled_back"  # the candidate, or the production that replaced another, was withdrawn
    EXPIRED = "expired"  # no verdict in time: production stays, the candidate is kept but serves nobody


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
