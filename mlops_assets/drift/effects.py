"""What drifted days do to promotions: a pure rule on kept verdicts, and the ledger made to agree with it.

Add here what else should stand in a promotion's way, or no longer. Keep out how a day is judged (`judge`), when a
new model is trained (`retraining`), and rollbacks: both variants see the same inputs, so drift never causes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select

from mlops_assets.drift import store
from mlops_assets.drift.facts import Status
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.store import Judged
from mlops_assets.rollout.ledger import Conflict, Event, Ledger, State
from mlops_assets.storage.database import Database, LedgerEntry

TRIES = 5
SHOWN_COLUMNS = 4
SHOWN_DAYS = 5


@dataclass(frozen=True)
class Ruling:
    """`why` is the reason of a block, None for no block; `said` tells either for a person.

    `columns` drifted on `days`, which block; the strongest and the newest first.
    """

    why: str | None
    said: str
    columns: tuple[str, ...] = ()
    days: tuple[date, ...] = ()


def ruling(days: Sequence[Judged], state: State, policy: DriftPolicy) -> Ruling:
    """What the kept days, in any order, say of promotions in `state`.

    Only the newest `block_of` days that are ok or drifted count, and of these those judged beside the present
    production: what another release was trained on says nothing of this one. A candidate that was trained on data
    like that of the newest such day is not blocked: it is the remedy.
    """
    window = sorted((d for d in days if d.status in store.JUDGED), key=lambda d: d.day, reverse=True)[: policy.block_of]
    own = [day for day in window if day.release == state.production]
    drifted = [day for day in own if day.status is Status.DRIFTED]
    if not own:
        return Ruling(None, f"no newly judged day was compared with the data of release {state.production}")
    newest, share = window[0], f"{len(drifted)} of the last {len(window)} judged days"
    if len(drifted) >= policy.block_days:
        blocking, how = drifted, f"on {share}: {_days(drifted)}"
    elif newest in drifted and newest.strength >= policy.block_strength:
        limit = f"{policy.block_strength:g} times are enough for a block"
        blocking, how = [newest], f"on {newest.day} by {newest.strength:.1f} times the least that counts; {limit}"
    else:
        return Ruling(None, f"drift on {share}")
    # A comparison with a candidate that is no longer there says nothing of the present one.
    if newest.candidate_release == state.candidate and newest.candidate_status is Status.OK:
        return Ruling(None, f"candidate {state.candidate} was trained on data like that of {newest.day}")
    columns = tuple(dict.fromkeys(name for day in blocking for name in day.drifted))
    why = f"{_columns(columns)} drifted {how}"
    return Ruling(why, why, columns, tuple(day.day for day in blocking))


def settle(ledger: Ledger, database: Database, product: str, policy: DriftPolicy, actor: str = "drift") -> State:
    """Make the ledger say of promotions what the kept verdicts say; the state then.

    Everything is derived anew from verdicts and ledger: whoever was killed before this, and in whatever order days
    were judged, the next call puts it right. A row is appended when the block comes, goes or is about other columns.
    It looks again after its own row, so the last of several at once has seen every verdict kept before it.

    Raises:
        Conflict: others decided during each of the tries.
    """
    for _ in range(TRIES):
        state = ledger.state(product)
        if state.production is None:
            return state
        found = ruling(store.judged(database, product, policy.block_of), state, policy)
        if _agrees(database, state, found):
            return state
        details = {"columns": list(found.columns), "days": [day.isoformat() for day in found.days]}
        try:
            ledger.block(product, found.why, actor=actor, reason=found.said, details=details, expected_seq=state.seq)
        except Conflict:
            continue
    raise Conflict(f"{product}: others decided during each of {TRIES} tries to settle the drift block")


def _agrees(database: Database, state: State, found: Ruling) -> bool:
    """Whether the ledger says so already; a standing block may name older days, but no other columns."""
    if state.drift_block == found.why:
        return True
    if state.drift_block is None or found.why is None:
        return False
    blocks = (LedgerEntry.product == state.product) & (LedgerEntry.event == Event.BLOCKED)
    with database.session() as session:
        standing = session.scalar(select(LedgerEntry.details).where(blocks).order_by(LedgerEntry.seq.desc()).limit(1))
    return standing is not None and set(standing.get("columns", ())) == set(found.columns)


def _columns(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_COLUMNS
    return _listed([*names[:SHOWN_COLUMNS], *([f"{more} more"] if more > 0 else [])]) or "the data"


def _days(drifted: Sequence[Judged]) -> str:
    more = len(drifted) - SHOWN_DAYS
    earlier = [f"{more} earlier"] if more > 0 else []
    return _listed([*earlier, *(str(day.day) for day in reversed(drifted[:SHOWN_DAYS]))])


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
