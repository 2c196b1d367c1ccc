"""A rollout as a story: what was seen at each look, and how it ended. What pictures and pages are made of.

Add here what a person should be told of a rollout's past. Keep out how it is shown (`chart`, `shown`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from mlops_assets.rollout.facts import Effect, Evidence
from mlops_assets.rollout.ledger import Event, Ledger
from mlops_assets.storage.database import LedgerEntry

ENDS = (Event.PROMOTED, Event.ROLLED_BACK, Event.EXPIRED)


@dataclass(frozen=True)
class Look:
    """One recorded look: when, what it saw, and the candidate's share of the users from then on."""

    at: datetime
    evidence: Evidence
    share: float


@dataclass(frozen=True)
class End:
    """What ended the comparison: `promoted`, `rolled_back` or `expired`; by whom; the reason in words.

    `by_look`: the verdict of a look, not somebody's order.
    """

    at: datetime
    event: str
    actor: str
    reason: str
    by_look: bool


@dataclass(frozen=True)
class Story:
    """A rollout so far, oldest look first. `end` is the newest of what ended it."""

    rollout: int
    candidate: int
    looks: tuple[Look, ...] = ()
    end: End | None = None

    @property
    def rated(self) -> tuple[tuple[datetime, Effect], ...]:
        """The looks that had ratings of both sides."""
        return tuple((look.at, look.evidence.effect) for look in self.looks if look.evidence.effect is not None)


def newest(ledger: Ledger, product: str) -> Story | None:
    """The product's newest rollout; None while it never had a candidate."""
    rollout = ledger.state(product).rollout
    return None if rollout is None else tell(ledger, product, rollout)


def tell(ledger: Ledger, product: str, rollout: int) -> Story | None:
    """One rollout; None if there is none of that number."""
    turns = select(LedgerEntry).where(
        LedgerEntry.product == product,
        LedgerEntry.rollout == rollout,
        LedgerEntry.event.in_((Event.CANDIDATE, *ENDS)),
    )
    candidate, end = None, None
    with ledger.database.session() as session:
        entries = list(session.scalars(turns.order_by(LedgerEntry.seq)))
    for entry in entries:
        if entry.event == Event.CANDIDATE:
            candidate = entry.candidate
        else:
            end = End(entry.created_at, entry.event, entry.actor, entry.reason, "evidence" in entry.details)
    if candidate is None:
        return None
    looks = tuple(
        Look(entry.created_at, Evidence.from_json(entry.details["evidence"]), entry.candidate_share)
        for entry in ledger.looks(product, rollout)
    )
    return Story(rollout, candidate, looks, end)
