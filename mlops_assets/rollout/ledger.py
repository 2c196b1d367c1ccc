"""The release ledger: which release is production, which is candidate, where its rollout stands, by whom and why.

Every decision is one appended row that holds the whole state after it; the newest row is the truth, all else
follows it. Add here how a decision is stored or read. Keep out what a decision changes (`state`), how it is
reached (`decide`) and how the world is made to agree (`controller`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mlops_assets.rollout import state as moves
from mlops_assets.rollout.facts import Decision, Evidence
from mlops_assets.rollout.ledger_rows import append, has_key, lock, newest_state, now_of, published, state_of
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.state import Conflict, Event, LedgerError, Move, State
from mlops_assets.storage.database import Database, LedgerEntry, Release

__all__ = ["Conflict", "Event", "Ledger", "LedgerError", "State"]

LONGEST_REASON = 500


class Ledger:
    """Reads and appends decisions. Two at once are put in order by a lock for each product.

    Every change is one transaction that appends one row, by an `actor` for a `reason`. The same `key` again appends
    nothing and returns the present state; `expected_seq` refuses the change with Conflict if another decision came
    first; a change that isn't possible now raises LedgerError.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def state(self, product: str) -> State:
        """The present state; an empty one for a product without a release."""
        with self.database.session() as session:
            return newest_state(session, product)

    def state_before(self, product: str, seq: int) -> State:
        """The state that decision `seq` was made from."""
        with self.database.session() as session:
            return newest_state(session, product, before=seq)

    def state_at(self, product: str, moment: datetime) -> State:
        """The state that was in force at `moment`; an empty one before the first release."""
        with self.database.session() as session:
            mine = (LedgerEntry.product == product) & (LedgerEntry.created_at <= moment)
            entry = session.scalar(select(LedgerEntry).where(mine).order_by(LedgerEntry.seq.desc()).limit(1))
            return State(product) if entry is None else state_of(entry)

    def history(self, product: str, limit: int = 50, before: int | None = None) -> list[LedgerEntry]:
        """The newest decisions, newest first; those older than seq `before`, if it is given."""
        with self.database.session() as session:
            newest = select(LedgerEntry).where(LedgerEntry.product == product).order_by(LedgerEntry.seq.desc())
            if before is not None:
                newest = newest.where(LedgerEntry.seq < before)
            return list(session.scalars(newest.limit(limit)))

    def looks(self, product: str, rollout: int) -> list[LedgerEntry]:
        """The recorded looks at one rollout, oldest first."""
        with self.database.session() as session:
            of_rollout = (LedgerEntry.product == product) & (LedgerEntry.rollout == rollout)
            found = select(LedgerEntry).where(of_rollout, LedgerEntry.details.has_key("evidence"))
            return list(session.scalars(found.order_by(LedgerEntry.seq)))

    def release(self, product: str, version: int) -> Release:
        """A published release.

        Raises:
            LedgerError: there is none of that number.
        """
        with self.database.session() as session:
            return published(session, product, version)

    def trained_on(self, product: str, dataset_version: int) -> Release | None:
        """The newest published release that was trained on a version of the data."""
        mine = (Release.product == product) & (Release.dataset_version == dataset_version) & Release.uri.is_not(None)
        with self.database.session() as session:
            return session.scalar(select(Release).where(mine).order_by(Release.version.desc()).limit(1))

    def labels(self, product: str) -> dict[int, list[str]]:
        """Every label a release was given: CO<n> as the n-th candidate, BO<n> as the n-th production."""
        given: dict[int, list[str]] = {}
        with self.database.session() as session:
            labelled = (LedgerEntry.product == product) & LedgerEntry.label.is_not(None)
            for entry in session.scalars(select(LedgerEntry).where(labelled).order_by(LedgerEntry.seq)):
                version = entry.candidate if entry.event == Event.CANDIDATE else entry.production
                if entry.label and version is not None:
                    given.setdefault(version, []).append(entry.label)
        return given

    def reserve(self, product: str, run_id: str, dataset_version: int) -> int:
        """The release number of a run: the next one, or the run's own if it asks again after a crash."""
        with self.database.session() as session, session.begin():
            lock(session, product)
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
        """Make a reserved release serve: as production if there is none, else as the candidate of a new rollout.

        Publishing a release again changes nothing. `compared_with` is the production that its gates saw, which
        another run may have replaced since.
        """
        with self.database.session() as session, session.begin():
            lock(session, product)
            before = newest_state(session, product)
            release = session.get(Release, (product, version))
            if release is None:
                raise LedgerError(f"{product} has no reserved release {version}")
            if release.uri is not None:
                return before
            release.uri, release.manifest = uri, manifest
            session.flush()
            move = moves.publish(before, version, now_of(session))
            beside = f"production {compared_with}" if compared_with else "no production to compare with"
            first = move.event is Event.FIRST_RELEASE
            reason = "first release of the product" if first else f"passed its gates beside {beside}"
            return append(session, move, actor, reason)

    def begin(
        self,
        product: str,
        steps: Sequence[float],
        *,
        actor: str,
        reason: str,
        key: str | None = None,
        expected_seq: int | None = None,
    ) -> State:
        """Give the loaded candidate its first users: SHADOW becomes RAMP or HOLD at the first step's share."""
        return self._change(
            product, lambda _, before, now: moves.begin(before, steps, now), actor, reason, key, expected_seq
        )

    def look(
        self,
        product: str,
        decision: Decision,
        evidence: Evidence,
        policy: RolloutPolicy,
        *,
        actor: str,
        expected_seq: int,
        key: str | None = None,
        code_version: str = "",
        details: dict[str, Any] | None = None,
    ) -> State:
        """Record one look at the evidence and apply its verdict, in the same row."""
        record = {
            "verdict": str(decision.verdict),
            "reasons": list(decision.reasons),
            "evidence": evidence.to_json(),
            "policy": policy.model_dump(mode="json"),
            "code_version": code_version,
        }

        def change(_: Session, before: State, now: datetime) -> Move:
            move = moves.look(before, decision.verdict, policy.steps, now)
            return replace(move, details=record | move.details | (details or {}))

        reason = decision.reasons[0] if decision.reasons else str(decision.verdict)
        return self._change(product, change, actor, reason[:LONGEST_REASON], key, expected_seq)

    def promote(
        self,
        product: str,
        actor: str,
        reason: str,
        version: int | None = None,
        key: str | None = None,
        expected_seq: int | None = None,
    ) -> State:
        """Make the candidate, or the published release `version`, production; another candidate is withdrawn."""

        def change(session: Session, before: State, now: datetime) -> Move:
            if version is not None:
                published(session, product, version)
            return moves.promote(before, version, now)

        return self._change(product, change, actor, reason, key, expected_seq)

    def rollback(
        self,
        product: str,
        *,
        actor: str,
        reason: str,
        key: str | None = None,
        expected_seq: int | None = None,
        retrain: bool = True,
    ) -> State:
        """Withdraw the candidate; without one, go back to the production before this one."""
        return self._change(
            product,
            lambda _, before, now: moves.rollback(before, now, retrain=retrain),
            actor,
            reason,
            key,
            expected_seq,
        )

    def pause(self, product: str, *, actor: str, reason: str, key: str | None = None) -> State:
        """Stop everything but a rollback from happening by itself."""
        return self._change(product, lambda _, before, __: moves.pause(before, True), actor, reason, key)

    def resume(self, product: str, *, actor: str, reason: str, key: str | None = None) -> State:
        """Let looks decide again."""
        return self._change(product, lambda _, before, __: moves.pause(before, False), actor, reason, key)

    def share(
        self,
        product: str,
        share: float,
        *,
        actor: str,
        reason: str,
        key: str | None = None,
        steps: Sequence[float] = (),
    ) -> State:
        """Set the candidate's share of the users by hand; `steps` larger than it are still to come."""
        return self._change(product, lambda _, before, now: moves.share(before, share, steps, now), actor, reason, key)

    def watch(self, product: str, *, actor: str, reason: str, expected_seq: int | None = None) -> State:
        """The promoted release serves: PROMOTING becomes WATCH."""
        return self._change(
            product,
            lambda _, before, now: moves.next_phase(before, Phase.WATCH, now),
            actor,
            reason,
            expected_seq=expected_seq,
        )

    def settle(self, product: str, *, actor: str, reason: str, expected_seq: int | None = None) -> State:
        """The watch is over: WATCH becomes DONE."""
        return self._change(
            product,
            lambda _, before, now: moves.next_phase(before, Phase.DONE, now),
            actor,
            reason,
            expected_seq=expected_seq,
        )

    def block(
        self,
        product: str,
        why: str | None,
        *,
        actor: str,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        expected_seq: int | None = None,
    ) -> State:
        """Keep the candidate from being promoted because of drift; None lifts the block. No row if it is so already."""
        return self._change(
            product,
            lambda _, before, __: moves.block(before, why, details),
            actor,
            (reason or why or "the drift is over")[:LONGEST_REASON],
            expected_seq=expected_seq,
        )

    def _change(
        self,
        product: str,
        change: Callable[[Session, State, datetime], Move | None],
        actor: str,
        reason: str,
        key: str | None = None,
        expected_seq: int | None = None,
    ) -> State:
        """Append what `change` makes of the present state, or nothing at all if it makes nothing."""
        if not reason.strip():
            raise LedgerError("a decision needs a reason")
        if len(reason) > LONGEST_REASON:
            raise LedgerError(f"a reason has at most {LONGEST_REASON} characters")
        with self.database.session() as session, session.begin():
            lock(session, product)
            before = newest_state(session, product)
            if key is not None and has_key(session, product, key):
                return before
            if expected_seq is not None and before.seq != expected_seq:
                raise Conflict(f"{product}: decision {before.seq} came after {expected_seq}, which was looked at")
            move = change(session, before, now_of(session))
            return before if move is None else append(session, move, actor, reason, key)
