"""One look at a rollout, from state and evidence to a verdict that the ledger records and applies.

Everybody looks through here: the hourly job, the guardrail sensor, `mlops traffic`. Add here what makes a
look safe to repeat. Keep out evidence (`evidence`), judgement (`decide`) and what a verdict changes (`ledger`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import text

from mlops_assets.rollout.decide import Verdict, decide
from mlops_assets.rollout.evidence import read_evidence
from mlops_assets.rollout.facts import Decision, Evidence
from mlops_assets.rollout.ledger import Conflict, Ledger, State
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import Database

TRIES = 3
# The files that decide what a look sees and concludes.
DECIDING = (
    "confidence", "counting", "decide", "evidence", "facts", "guardrails", "looking", "phases", "policy", "ratings",
    "sample_ratio", "state",
)  # fmt: skip

_FIXED_SLOW_MS = """
SELECT (details -> 'evidence' ->> 'slow_ms')::double precision FROM mlops.ledger
WHERE product = :product AND rollout = :rollout AND seq <= :seq
  AND jsonb_typeof(details -> 'evidence' -> 'slow_ms') = 'number'
ORDER BY seq DESC LIMIT 1
"""


@dataclass(frozen=True)
class LookResult:
    """What a look came to. `said` is for a person; `state` is the one after it.

    `evidence` and `decision` are None if nothing is being compared. `recorded`: the ledger got a row for it.
    """

    state: State
    said: str
    evidence: Evidence | None = None
    decision: Decision | None = None
    recorded: bool = False

    @property
    def verdict(self) -> str | None:
        """The verdict's word, if there is one."""
        return None if self.decision is None else str(self.decision.verdict)


def look_once(
    ledger: Ledger,
    database: Database,
    product: str,
    policy: RolloutPolicy,
    *,
    now: datetime,
    actor: str = "platform",
    key: str | None = None,
    problem: str | None = None,
    record_only_if_decisive: bool = False,
) -> LookResult:
    """Look at the evidence of the product's rollout, decide, and let the ledger record and apply it.

    Args:
        now: UTC, aware.
        key: the same key a second time changes nothing.
        problem: what is wrong with the candidate's service, if somebody knows.
        record_only_if_decisive: record a rollback only, and the look that first could tell how slow production is;
            any other verdict is left to a look that records all.

    Raises:
        Conflict: others decided during each of three tries.
    """
    for attempt in range(TRIES):
        state = ledger.state(product)
        why = nothing_to_compare(state)
        if why is not None:
            return LookResult(state, why)
        fixed = fixed_slow_ms(database, state)
        evidence = read_evidence(database, state, policy, now, slow_ms=fixed, candidate_problem=problem)
        decision = conclude(state, evidence, policy)
        said = f"release {state.candidate} of {product}: {decision.verdict}. {' '.join(decision.reasons)}"
        if record_only_if_decisive and not _decisive(
            decision, fixes_limit=fixed is None and evidence.slow_ms is not None
        ):
            return LookResult(state, said, evidence, decision)
        try:
            after = ledger.look(
                product,
                decision,
                evidence,
                policy,
                actor=actor,
                expected_seq=state.seq,
                key=key,
                code_version=code_version(),
                details={"digest": digest(evidence), "at": now.astimezone(UTC).isoformat()},
            )
        except Conflict:
            if attempt == TRIES - 1:
                raise
            continue
        recorded = after.seq > state.seq
        return LookResult(after, said if recorded else f"{key} is recorded already", evidence, decision, recorded)
    raise AssertionError("the last try returns or raises")


def nothing_to_compare(state: State) -> str | None:
    """Why there is nothing to look at in this state; None if there is."""
    if state.candidate is None:
        return f"{state.product} has no candidate: nothing is compared"
    if not state.comparing or state.started_at is None:
        return f"candidate {state.candidate} of {state.product} has no users yet (phase {state.phase})"
    return None


def conclude(state: State, evidence: Evidence, policy: RolloutPolicy) -> Decision:
    """The verdict on this evidence in this state."""
    # The ledger counts every share as a step, shares set by hand too; a policy's step is the one it declares.
    step = sum(share <= state.candidate_share for share in policy.steps) - 1
    return decide(state.phase, step, state.paused, evidence, policy)


def fixed_slow_ms(database: Database, state: State) -> float | None:
    """Production's p95 as an earlier look of this rollout fixed it; None if none has."""
    given = {"product": state.product, "rollout": state.rollout, "seq": state.seq}
    with database.engine.connect() as connection:
        found = connection.execute(text(_FIXED_SLOW_MS), given).scalar_one_or_none()
    return None if found is None else float(found)


def digest(evidence: Evidence) -> str:
    """SHA-256 of the evidence as canonical JSON: two looks with one digest saw the same."""
    canonical = json.dumps(_plain(evidence.to_json()), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """`value` with every number as the database gives it back: it knows no -0.0, and writes 1e300 without a point."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) + 0.0
    return value


@lru_cache(maxsize=1)
def code_version() -> str:
    """12 hexadecimal digits that change with any file that decides what a look sees and concludes."""
    together = hashlib.sha256()
    for name in DECIDING:
        path = Path(__file__).with_name(f"{name}.py")
        together.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return together.hexdigest()[:12]


def _decisive(decision: Decision, *, fixes_limit: bool) -> bool:
    if decision.verdict == Verdict.ROLL_BACK:
        return True
    # Until it is in the ledger each look would measure slowness against another limit.
    return fixes_limit and decision.verdict in (Verdict.CONTINUE, Verdict.HOLD)
