"""The release ledger: which release is production, which is candidate, since when, by whom and why.

Every decision is one appended row that holds the whole state after it; the newest row is the truth, all else
follows it. Add an event here when a new kind of decision exists. Keep out how decisions are reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mlops_assets.storage.database import Database, LedgerEntry, Release


class Event(StrEnum):
    """What happened; one line of meaning each."""

    FIRST_RELEASE = "first_release"  # nothing served before: the release is production at once
    CANDIDATE = "candidate"  # the release waits beside production to be compared or promoted
    PROMOTED = "promoted"  # a release took over production


class LedgerError(RuntimeError):
    """The asked-for transition isn't possible from the present state; the message says why."""


@dataclass(frozen=True)
class State:
    """Who serves a product after its newest decision. Versions are release numbers; `seq` counts decisions."""

    product: str
    seq: int = 0
    production: int | None = None
    candidate: int | None = None
    candidate_share: float = 0.0


class Ledger:
    """Reads and appends decisions. Two at once are put in order by a lock for each product."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def state(self, product: str) -> State:
        """The present state; an empty one for a product without a release."""
        with self.database.session() as session:
            return _state(session, product)

    def history(self, product: str, limit: int = 50) -> list[LedgerEntry]:
        """The newest decisions, newest first."""
        with self.database.session() as session:
            newest = select(LedgerEntry).where(LedgerEntry.product == product).order_by(LedgerEntry.seq.desc())
            return list(session.scalars(newest.limit(limit)))

    def release(self, product: str, version: int) -> Release:
        """A published release.

        Raises:
            LedgerError: there is none of that number.
        """
        with self.database.session() as session:
            found = session.get(Release, (product, version))
            if found is None or found.uri is None:
                raise LedgerError(f"{product} has no release {version}")
            return found

    def labels(self, product: str) -> dict[int, list[str]]:
        """Every label a release was given: CO<n> as the n-th candidate, BO<n> as the n-th production."""
        given: dict[int, list[str]] = {}
        for entry in reversed(self.history(product, limit=100_000)):
            version = entry.candidate if entry.event == Event.CANDIDATE else entry.production
            if entry.label and version is not None:
                given.setdefault(version, []).append(entry.label)
        return given

    def reserve(self, product: str, run_id: str, dataset_version: int) -> int:
        """The release number of a run: the next one, or the run's own if it asks again after a crash."""
        with self.database.session() as session, session.begin():
            _lock(session, product)
            own = session.scalar(select(Release).where(Release.product == product, Release.run_id == run_id))
            if own is not None:
                return own.version
            newest = session.scalar(select(func.max(Release.version)).where(Release.product == product)) or 0
            session.add(Release(product=product, version=newest + 1, run_id=run_id, dataset_version=dataset_version))
            return newest + 1

    def publish(
        self,
        product: str,
        version: int,
        uri: str,
        manifest: dict[str, Any],
        actor: str,
        compared_with: int | None = None,
    ) -> State:
        """Make a reserved release serve: as production if there is none, else as candidate. One transaction.

        Publishing a release again changes nothing. `compared_with` is the production that its gates saw, which
        another run may have replaced since.
        """
        with self.database.session() as session, session.begin():
            _lock(session, product)
            before = _state(session, product)
            release = session.get(Release, (product, version))
            if release is None:
                raise LedgerError(f"{product} has no reserved release {version}")
            if release.uri is not None:
                return before
            release.uri, release.manifest = uri, manifest
            session.flush()
            if before.production is None:
                event, reason = Event.FIRST_RELEASE, "first release of the product"
                after = State(product, before.seq + 1, production=version)
            else:
                beside = f"production {compared_with}" if compared_with else "no production to compare with"
                event, reason = Event.CANDIDATE, f"passed its gates beside {beside}"
                after = State(product, before.seq + 1, before.production, candidate=version)
            _append(session, after, event, actor, reason, {"replaced_candidate": before.candidate})
            return after

    def promote(self, product: str, actor: str, reason: str, version: int | None = None) -> State:
        """Make the candidate, or the published release `version`, production.

        Raises:
            LedgerError: no reason, no such release, no candidate, or it is production already.
        """
        if not reason.strip():
            raise LedgerError("a promotion needs a reason")
        with self.database.session() as session, session.begin():
            _lock(session, product)
            before = _state(session, product)
            chosen = version if version is not None else before.candidate
            if chosen is None:
                raise LedgerError(f"{product} has no candidate to promote")
            release = session.get(Release, (product, chosen))
            if release is None or release.uri is None:
                raise LedgerError(f"{product} has no release {chosen}")
            if chosen == before.production:
                raise LedgerError(f"release {chosen} of {product} is production already")
            kept = before.candidate if before.candidate != chosen else None
            after = State(product, before.seq + 1, chosen, kept, before.candidate_share if kept else 0.0)
            _append(session, after, Event.PROMOTED, actor, reason, {"previous": before.production})
            return after


def _lock(session: Session, product: str) -> None:
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"mlops.ledger.{product}"))))


def _state(session: Session, product: str) -> State:
    newest = select(LedgerEntry).where(LedgerEntry.product == product).order_by(LedgerEntry.seq.desc()).limit(1)
    entry = session.scalar(newest)
    if entry is None:
        return State(product)
    return State(product, entry.seq, entry.production, entry.candidate, entry.candidate_share)


def _append(session: Session, after: State, event: Event, actor: str, reason: str, details: dict[str, Any]) -> None:
    session.add(
        LedgerEntry(
            product=after.product,
            seq=after.seq,
            event=event,
            production=after.production,
            candidate=after.candidate,
            candidate_share=after.candidate_share,
            label=_label(session, after, event),
            actor=actor,
            reason=reason,
            details=details,
        )
    )


def _label(session: Session, after: State, event: Event) -> str | None:
    """The next BO or CO number; a release that is production again keeps the number it has."""
    prefix = "CO" if event is Event.CANDIDATE else "BO"
    of_product = LedgerEntry.product == after.product
    if prefix == "BO":
        had = select(LedgerEntry.label).where(
            of_product, LedgerEntry.production == after.production, LedgerEntry.label.like("BO%")
        )
        if session.scalar(had.limit(1)) is not None:
            return None
    used = select(func.count()).where(of_product, LedgerEntry.label.like(f"{prefix}%"))
    return f"{prefix}{(session.scalar(used) or 0) + 1}"
