"""The audit: who did what to which object, and what came of it. The database refuses to change an entry.

Add here what every act has. What only some acts have goes into their details. Keep out what the acts are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_assets.access.roles import Caller
from mlops_assets.storage.access_tables import AuditEntry
from mlops_assets.storage.database import Database

LONGEST_OBJECT = 300
LONGEST_REQUEST_ID = 128
MOST_DETAILS_BYTES = 4096


class Outcome(StrEnum):
    """What came of an act."""

    DONE = "done"
    PASSED = "passed"  # let in to Dagster or MLflow, which alone know what came of it
    REFUSED = "refused"  # it wasn't possible, or not allowed
    FAILED = "failed"  # a fault


@dataclass(frozen=True)
class Act:
    """One act. `action` is `<object's kind>.<verb>`; `details` are JSON, a few values and never a secret."""

    caller: Caller
    action: str
    object: str
    outcome: Outcome = Outcome.DONE
    request_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def record(database: Database, act: Act) -> None:
    """Note an act in a transaction of its own. Raises SQLAlchemyError."""
    with database.session() as session, session.begin():
        add(session, act)


def add(session: Session, act: Act) -> None:
    """Note an act inside the caller's transaction: the act and its entry are kept together or not at all.

    What PostgreSQL can't hold is replaced, what is too long is cut: an entry never makes an act fail.
    """
    session.add(
        AuditEntry(
            caller=act.caller.id,
            who=act.caller.name,
            role=act.caller.role,
            kind=act.caller.kind,
            action=act.action,
            object=_text(act.object)[:LONGEST_OBJECT],
            outcome=act.outcome,
            request_id=None if act.request_id is None else _text(act.request_id)[:LONGEST_REQUEST_ID],
            details=_details(act.details),
        )
    )


def _text(value: str) -> str:
    """The text without what PostgreSQL refuses: NUL and halves of surrogate pairs."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _details(given: Mapping[str, Any]) -> dict[str, Any]:
    written = _text(json.dumps(given, ensure_ascii=False, default=str).replace("\\u0000", "\\ufffd"))
    size = len(written.encode())
    if size > MOST_DETAILS_BYTES:
        return {"too_large_bytes": size}
    kept: dict[str, Any] = json.loads(written, parse_constant=str)
    return kept


@dataclass(frozen=True)
class Filters:
    """Which entries are asked for; None: all."""

    who: str | None = None
    action: str | None = None
    object: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


def page(database: Database, filters: Filters, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
    """The newest entries that fit, newest first; those older than entry `before`, if it is given."""
    asked = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    for name in ("who", "action", "object", "outcome"):
        wanted = getattr(filters, name)
        if wanted is not None:
            asked = asked.where(getattr(AuditEntry, name) == wanted)
    if filters.since is not None:
        asked = asked.where(AuditEntry.at >= filters.since)
    if filters.until is not None:
        asked = asked.where(AuditEntry.at < filters.until)
    if before is not None:
        asked = asked.where(AuditEntry.id < before)
    with database.session() as session:
        return session.scalars(asked).all()
