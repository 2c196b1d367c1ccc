"""Answers kept by idempotency key, so that a request sent again after a lost answer changes nothing.

The work and its kept answer are one transaction under a lock that ends with it: after a crash neither is there, and
nothing needs to be cleaned up. Keep out what the work is, and how keys come over HTTP (`api.once`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from mlops_assets.storage.access_tables import AnsweredRequest
from mlops_assets.storage.database import Database

KEPT_HOURS = 24
# A worker that hangs for longer between two statements loses its transaction, and with it the lock.
LONGEST_PAUSE_SECONDS = 60
MOST_FORGOTTEN = 20
KEY = re.compile(r"[\x21-\x7e]{1,200}")

_TOO_OLD = AnsweredRequest.created_at < func.clock_timestamp() - text(f"interval '{KEPT_HOURS} hours'")


class KeyReusedError(ValueError):
    """The key came with another request before."""


class KeyBusyError(RuntimeError):
    """The first request with this key is still being worked on."""


@dataclass(frozen=True)
class Keyed:
    """A request with a key. `caller` and `route` keep apart the same key of two callers or for two things.

    `content` is the body in one spelling: the same order must give the same bytes.
    """

    caller: str
    route: str
    key: str
    content: bytes

    @property
    def id(self) -> str:
        """One name for caller, route and key, of a length that an index can hold."""
        return sha256("\0".join((self.caller, self.route, self.key)).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Answer:
    """An answer as it is sent: `body` is JSON. `replayed` if it was kept from an earlier request."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False


Work = Callable[[Session], Answer]


def once(database: Database, request: Keyed, work: Work) -> Answer:
    """Do the work and keep its answer, or give the answer that is kept.

    `work` gets the session whose transaction keeps the answer and must do all its writing in it, through no other
    connection. What it raises undoes everything and leaves the key free. What it does outside the database can
    happen again after a crash: give that a name made from `request.id`, so that the second time finds the first.

    Raises:
        KeyReusedError: the same key came with other content within 24 hours.
        KeyBusyError: another request with the key is being worked on right now.
    """
    with database.session() as session, session.begin():
        if not _locked(session, request.id):
            raise KeyBusyError(f"a request with the key {request.key!r} is being worked on")
        found = session.execute(select(AnsweredRequest, _TOO_OLD).where(AnsweredRequest.id == request.id)).first()
        if found is not None and not found[1]:
            return _kept(found[0], request)
        if found is not None:
            session.delete(found[0])
            session.flush()
        answer = work(session)
        session.add(_row(request, answer))
        _forget_some(session)
        return replace(answer, replayed=False)


def _locked(session: Session, name: str) -> bool:
    """Whether this transaction has the lock now; it never waits, since a waiting one would hold a connection."""
    pause = func.set_config("idle_in_transaction_session_timeout", f"{LONGEST_PAUSE_SECONDS * 1000:.0f}", True)
    lock = func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0))
    return bool(session.execute(select(pause, lock)).one()[1])


def _kept(kept: AnsweredRequest, request: Keyed) -> Answer:
    if kept.request_sha256 != sha256(request.content).hexdigest():
        raise KeyReusedError(f"the key {request.key!r} came with another request before; take a new key")
    return Answer(kept.status, kept.body, kept.headers, replayed=True)


def _row(request: Keyed, answer: Answer) -> AnsweredRequest:
    return AnsweredRequest(
        id=request.id,
        caller=request.caller,
        route=request.route,
        key=request.key,
        request_sha256=sha256(request.content).hexdigest(),
        status=answer.status,
        body=answer.body,
        headers=dict(answer.headers),
    )


def _forget_some(session: Session) -> None:
    """Remove a few answers that are too old: more than come in with this request, so the table stays bounded."""
    oldest = select(AnsweredRequest.id).where(_TOO_OLD).order_by(AnsweredRequest.created_at).limit(MOST_FORGOTTEN)
    gone = oldest.with_for_update(skip_locked=True)
    session.execute(delete(AnsweredRequest).where(AnsweredRequest.id.in_(gone)))
