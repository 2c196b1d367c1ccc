"""Computes recorded looks again, from the raw log up to each look's watermark, and compares.

A look that doesn't match means that rows were lost or changed, or that the code decides otherwise now; the result
says which numbers differ. Keep out how a look comes about (`looking`, `evidence`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_assets.rollout.evidence import read_evidence
from mlops_assets.rollout.facts import Decision, Evidence
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.looking import code_version, conclude, digest, fixed_slow_ms
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import Database, LedgerEntry


@dataclass(frozen=True)
class ReplayedLook:
    """One recorded look and what came out now. `recorded` and `replayed` are verdicts.

    `difference` is the first one in words, None if all is the same. `same_code`: nothing that decides was changed.
    """

    seq: int
    rollout: int
    at: datetime
    recorded: str
    replayed: str
    difference: str | None
    same_code: bool

    @property
    def matches(self) -> bool:
        return self.difference is None


def replay(ledger: Ledger, database: Database, product: str, rollout: int | None = None) -> list[ReplayedLook]:
    """Every recorded look of `rollout`, or of the newest one, computed again; oldest first.

    Raises:
        ValueError: there is no such rollout.
    """
    newest = ledger.state(product).rollout
    chosen = newest if rollout is None else rollout
    if chosen is None:
        return []
    if newest is None or not 1 <= chosen <= newest:
        raise ValueError(f"{product} has no rollout {chosen}; the newest is {newest or 'none'}")
    return [_again(ledger, database, product, chosen, entry) for entry in ledger.looks(product, chosen)]


def _again(ledger: Ledger, database: Database, product: str, rollout: int, entry: LedgerEntry) -> ReplayedLook:
    details = entry.details
    seen = Evidence.from_json(details["evidence"])
    policy = RolloutPolicy.model_validate(details["policy"])
    state = ledger.state_before(product, entry.seq)
    evidence = read_evidence(
        database,
        state,
        policy,
        datetime.fromisoformat(details["at"]) if "at" in details else entry.created_at,
        slow_ms=fixed_slow_ms(database, state),
        candidate_problem=seen.candidate_problem,
        watermark=seen.watermark,
    )
    decision = conclude(state, evidence, policy)
    return ReplayedLook(
        seq=entry.seq,
        rollout=rollout,
        at=entry.created_at,
        recorded=details["verdict"],
        replayed=str(decision.verdict),
        difference=_difference(details, evidence, decision),
        same_code=details.get("code_version") == code_version(),
    )


def _difference(details: dict[str, Any], evidence: Evidence, decision: Decision) -> str | None:
    """The first difference in words: the evidence's, else the verdict's, else the record's own."""
    for name, recorded, found in _apart("", details["evidence"], evidence.to_json()):
        return f"{name}: {recorded} was recorded, {found} is in the log"
    if details["verdict"] != str(decision.verdict):
        return f"verdict: {details['verdict']} was recorded, the same evidence now means {decision.verdict}"
    if details.get("digest") != digest(evidence):
        return "digest: the record's evidence isn't the one that it was signed with"
    return None


def _apart(name: str, recorded: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    """Names and values of all leaves that differ."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        # The order of the evidence's own fields; a record has lost it.
        for key in dict.fromkeys([*found, *recorded]):
            yield from _apart(f"{name}.{key}".lstrip("."), recorded.get(key), found.get(key))
    elif isinstance(recorded, list | tuple) and isinstance(found, list | tuple) and len(recorded) == len(found):
        for index, pair in enumerate(zip(recorded, found, strict=True)):
            yield from _apart(f"{name}[{index}]", *pair)
    elif recorded != found:
        yield name, recorded, found
