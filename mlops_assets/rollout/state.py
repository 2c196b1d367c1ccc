"""Who serves a product and where its rollout stands, and every move from one such state to the next. Pure.

Add an event or a move here when a new kind of decision exists. Keep out how a decision is reached (`decide`) and
how it is stored (`ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from mlops_assets.rollout.phases import ACTIVE, COMPARING, Phase, comparing_phase, next_share


class Event(StrEnum):
    """What happened; one line of meaning each."""

    FIRST_RELEASE = "first_release"  # nothing served before: the release is production at once
    CANDIDATE = "candidate"  # a rollout begins: the release is loaded beside production
    STARTED = "started"  # the candidate got its first users
    ADVANCED = "advanced"  # a look raised the candidate's share to the next step
    LOOK = "look"  # a look at the evidence changed nothing
    PROMOTED = "promoted"  # a release took over production
    WATCHING = "watching"  # the service of production holds the promoted release
    SETTLED = "settled"  # the watch is over; production stays
    ROLLED_BACK = "rolled_back"  # the candidate was withdrawn, or production went back to the one before
    EXPIRED = "expired"  # the candidate got no verdict in time and was withdrawn
    PAUSED = "paused"  # nothing but a rollback happens by itself until somebody resumes
    RESUMED = "resumed"  # looks may decide again
    SHARE = "share"  # somebody set the candidate's share by hand
    BLOCKED = "blocked"  # drift keeps the candidate from being promoted
    UNBLOCKED = "unblocked"  # the drift is over


# What a look's verdict is recorded as. Whatever isn't here changes nothing.
OF_VERDICT = {
    "advance": Event.ADVANCED,
    "promote": Event.PROMOTED,
    "roll_back": Event.ROLLED_BACK,
    "expire": Event.EXPIRED,
}


class LedgerError(RuntimeError):
    """The asked-for transition isn't possible from the present state; the message says why."""


class Conflict(LedgerError):  # noqa: N818 (a conflict is no fault)
    """Somebody else decided meanwhile: look at the new state and ask again if it still makes sense."""


@dataclass(frozen=True)
class State:
    """Who serves a product after its newest decision, and where its newest rollout stands.

    Versions are release numbers, times are UTC, `seq` counts decisions, `rollout` counts candidates. `step` counts
    the shares that the rollout's candidate had: strata of the evidence. `previous` was production before; a
    rollback of a promotion goes back to it.
    """

    product: str
    seq: int = 0
    production: int | None = None
    candidate: int | None = None
    candidate_share: float = 0.0
    rollout: int | None = None
    phase: Phase = Phase.DONE
    step: int = 0
    paused: bool = False
    previous: int | None = None
    started_at: datetime | None = None
    step_at: datetime | None = None
    phase_at: datetime | None = None
    drift_block: str | None = None

    @property
    def comparing(self) -> bool:
        """Whether the candidate serves a share of the users."""
        return self.candidate is not None and self.phase in COMPARING and self.candidate_share > 0

    @property
    def standby(self) -> int | None:
        """The release that the second service holds: the candidate, the one to go back to, or production."""
        if self.candidate is not None:
            return self.candidate
        return self.previous or self.production if self.phase in (Phase.PROMOTING, Phase.WATCH) else self.production


@dataclass(frozen=True)
class Move:
    """What a decision makes of a state: the next one, the event, and what else the ledger keeps of it."""

    after: State
    event: Event
    details: dict[str, Any] = field(default_factory=dict)


def publish(before: State, version: int, now: datetime) -> Move:
    """A new release: production if there is none, else the candidate of a new rollout in place of any other."""
    if before.production is None:
        return Move(replace(before, production=version, phase_at=now), Event.FIRST_RELEASE)
    after = replace(
        _without_candidate(before, Phase.SHADOW, now),
        candidate=version,
        rollout=(before.rollout or 0) + 1,
        step=0,
        started_at=None,
        step_at=None,
    )
    return Move(after, Event.CANDIDATE, {"replaced_candidate": before.candidate})


def begin(before: State, steps: Sequence[float], now: datetime) -> Move:
    """The loaded candidate's first users. LedgerError unless it waits in SHADOW and nothing is paused."""
    if before.phase is not Phase.SHADOW or before.candidate is None:
        raise LedgerError(f"{before.product} has no candidate that waits to start")
    if before.paused:
        raise LedgerError(f"{before.product} is paused")
    return Move(replace(_at_share(before, steps[0], steps, now), step=0, started_at=now), Event.STARTED)


def look(before: State, verdict: str, steps: Sequence[float], now: datetime) -> Move:
    """What a verdict changes. LedgerError when no candidate is compared or the move isn't possible."""
    candidate = before.candidate
    if candidate is None or before.phase not in ACTIVE:
        raise LedgerError(f"{before.product} compares no candidate")
    event = OF_VERDICT.get(verdict, Event.LOOK)
    if event is Event.ADVANCED:
        share = next_share(before.candidate_share, steps)
        if share is None:
            raise LedgerError(f"the candidate of {before.product} is at its last step")
        return Move(_at_share(before, share, steps, now), event, {"share_before": before.candidate_share})
    if event is Event.PROMOTED:
        return promote(before, candidate, now)
    if event is Event.ROLLED_BACK:
        return rollback(before, now, retrain=True)
    if event is Event.EXPIRED:
        return Move(_without_candidate(before, Phase.EXPIRED, now), event, {"withdrawn": candidate})
    return Move(before, event)


def promote(before: State, version: int | None, now: datetime) -> Move:
    """`version`, or the candidate, becomes production; another candidate is withdrawn.

    It was compared with a production that is no longer there. LedgerError: no candidate, or production already.
    """
    chosen = version if version is not None else before.candidate
    if chosen is None:
        raise LedgerError(f"{before.product} has no candidate to promote")
    if chosen == before.production:
        raise LedgerError(f"release {chosen} of {before.product} is production already")
    withdrawn = before.candidate if before.candidate != chosen else None
    after = replace(_without_candidate(before, Phase.PROMOTING, now), production=chosen, previous=before.production)
    return Move(after, Event.PROMOTED, {"previous": before.production, "withdrawn": withdrawn})


def rollback(before: State, now: datetime, *, retrain: bool) -> Move:
    """The candidate is withdrawn; without one, production goes back to the one before. LedgerError: neither."""
    after = _without_candidate(before, Phase.ROLLED_BACK, now)
    if before.candidate is not None:
        return Move(after, Event.ROLLED_BACK, {"withdrawn": before.candidate, "retrain": retrain})
    if before.previous is None:
        raise LedgerError(f"{before.product} has no candidate and no earlier production to go back to")
    after = replace(after, production=before.previous, previous=None)
    return Move(after, Event.ROLLED_BACK, {"withdrawn": before.production, "retrain": retrain})


def pause(before: State, paused: bool) -> Move:
    """Stop looks from deciding anything but a rollback, or let them again."""
    if before.production is None:
        raise LedgerError(f"{before.product} serves nothing yet")
    if before.paused == paused:
        raise LedgerError(f"{before.product} is {'paused already' if paused else 'not paused'}")
    return Move(replace(before, paused=paused), Event.PAUSED if paused else Event.RESUMED)


def share(before: State, share: float, steps: Sequence[float], now: datetime) -> Move:
    """The candidate's share, set by hand; the steps larger than it are still to come."""
    if not 0 < share < 1:
        raise LedgerError(f"a share is more than 0 and less than 1, not {share:g}")
    if not before.comparing:
        raise LedgerError(f"{before.product} has no candidate that serves users")
    if share == before.candidate_share:
        raise LedgerError(f"the candidate's share is {share:.0%} already")
    return Move(_at_share(before, share, steps, now), Event.SHARE, {"share_before": before.candidate_share})


def next_phase(before: State, phase: Phase, now: datetime) -> Move:
    """PROMOTING becomes WATCH, WATCH becomes DONE."""
    needed = {Phase.WATCH: Phase.PROMOTING, Phase.DONE: Phase.WATCH}[phase]
    if before.phase is not needed:
        raise LedgerError(f"{before.product} is not in phase {needed} but in {before.phase}")
    event = Event.WATCHING if phase is Phase.WATCH else Event.SETTLED
    return Move(replace(before, phase=phase, phase_at=now), event)


def block(before: State, why: str | None, details: dict[str, Any] | None = None) -> Move | None:
    """Drift keeps the candidate from being promoted, or (None) no longer does; no move if that is so already."""
    if before.production is None:
        raise LedgerError(f"{before.product} serves nothing yet")
    if before.drift_block == why:
        return None
    return Move(replace(before, drift_block=why), Event.BLOCKED if why else Event.UNBLOCKED, details or {})


def _without_candidate(state: State, phase: Phase, now: datetime) -> State:
    return replace(state, candidate=None, candidate_share=0.0, phase=phase, phase_at=now)


def _at_share(state: State, share: float, steps: Sequence[float], now: datetime) -> State:
    phase = comparing_phase(share, steps)
    phase_at = state.phase_at if phase is state.phase else now
    return replace(state, candidate_share=share, phase=phase, phase_at=phase_at, step=state.step + 1, step_at=now)
