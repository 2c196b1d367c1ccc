"""The ledger's rows: a state as a row and back, the numbers of labels, the lock that puts decisions in order.

Each function works inside the caller's transaction. Keep out what a decision is (`state`) and when it may be made
(`ledger`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import Event, LedgerError, Move, State
from mlops_assets.storage.database import NOW, LedgerEntry, Release

NUMBERED = {Event.FIRST_RELEASE: "BO", Event.CANDIDATE: "CO", Event.PROMOTED: "BO"}


def state_of(entry: LedgerEntry) -> State:
    """The state that a decision left."""
    phase, rollout = Phase(entry.phase), entry.rollout
    if entry.candidate is not None and rollout is None:
        # A candidate from before rollouts had numbers waits like a new one.
        phase, rollout = Phase.SHADOW, int((entry.label or "CO1").removeprefix("CO"))
    return State(
        product=entry.product,
        seq=entry.seq,
        production=entry.production,
        candidate=entry.candidate,
        candidate_share=entry.candidate_share,
        rollout=rollout,
        phase=phase,
        step=entry.step,
        paused=entry.paused,
        previous=entry.previous,
        started_at=entry.started_at,
        step_at=entry.step_at,
        phase_at=entry.phase_at or entry.created_at,
        drift_block=entry.drift_block,
    )


def lock(session: Session, product: str) -> None:
    """Let no other decision on the product be made until this transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"mlops.ledger.{product}"))))


def now_of(session: Session) -> datetime:
    """The database's time: the one clock of all decisions."""
    moment: datetime = session.execute(select(NOW)).scalar_one()
    return moment


def published(session: Session, product: str, version: int) -> Release:
    """A published release. LedgerError: there is none of that number."""
    found = session.get(Release, (product, version))
    if found is None or found.uri is None:
        raise LedgerError(f"{product} has no release {version}")
    return found


def has_key(session: Session, product: str, key: str) -> bool:
    """Whether a decision was made under this key."""
    known = select(LedgerEntry.id).where(LedgerEntry.product == product, LedgerEntry.key == key)
    return session.scalar(known) is not None


def newest_state(session: Session, product: str, before: int | None = None) -> State:
    """The state after the newest decision, or after the newest one before decision `before`."""
    newest = select(LedgerEntry).where(LedgerEntry.product == product).order_by(LedgerEntry.seq.desc()).limit(1)
    if before is not None:
        newest = newest.where(LedgerEntry.seq < before)
    entry = session.scalar(newest)
    return State(product) if entry is None else state_of(entry)


def append(session: Session, move: Move, actor: str, reason: str, key: str | None = None) -> State:
    """Append the state after `move` as the next decision."""
    after = replace(move.after, seq=move.after.seq + 1)
    session.add(
        LedgerEntry(
            product=after.product,
            seq=after.seq,
            event=move.event,
            production=after.production,
            candidate=after.candidate,
            candidate_share=after.candidate_share,
            rollout=after.rollout,
            phase=after.phase,
            step=after.step,
            paused=after.paused,
            previous=after.previous,
            started_at=after.started_at,
            step_at=after.step_at,
            phase_at=after.phase_at,
            drift_block=after.drift_block,
            key=key,
            label=_label(session, after, move.event),
            actor=actor,
            reason=reason,
            details=move.details,
        )
    )
    return after


def _label(session: Session, after: State, event: Event) -> str | None:
    """The next BO or CO number; a release that is production again keeps the number it has."""
    prefix = NUMBERED.get(event)
    if prefix is None:
        return None
    of_product = LedgerEntry.product == after.product
    if prefix == "BO":
        had = select(LedgerEntry.label).where(
            of_product, LedgerEntry.production == after.production, LedgerEntry.label.like("BO%")
        )
        if session.scalar(had.limit(1)) is not None:
            return None
    used = select(func.count()).where(of_product, LedgerEntry.label.like(f"{prefix}%"))
    return f"{prefix}{(session.scalar(used) or 0) + 1}"
