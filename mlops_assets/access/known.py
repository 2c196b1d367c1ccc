"""Issued tokens as a running API knows them: what the database said of each, for two seconds.

So a revocation holds within two seconds in every process, and a request rarely waits for the database. Keep out what
is stored (`tokens`).
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.access import tokens
from mlops_assets.access.roles import Caller, Kind, Role
from mlops_assets.storage.access_tables import ApiToken
from mlops_assets.storage.database import Database

REMEMBER_SECONDS = 2.0
USED_EVERY_SECONDS = 60.0
MOST_REMEMBERED = 1000

log = logging.getLogger(__name__)


@dataclass
class _Remembered:
    """What the database said at `read_at`; no row for an id that isn't there."""

    row: ApiToken | None
    read_at: float


class KnownTokens:
    """Finds callers by token or by a token's id. Raises SQLAlchemyError if the database must be asked and is down."""

    def __init__(
        self,
        database: Database,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._monotonic = monotonic
        self._now = now
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._lock = Lock()

    def caller(self, given: str) -> Caller | None:
        """Whose token it is; None for what is no valid token."""
        parts = tokens.parse(given)
        if parts is None:
            return None
        token_id, secret = parts
        row = self._active(token_id)
        if row is None or not hmac.compare_digest(tokens.digest(secret), row.secret_sha256):
            return None
        self._mark_used(row)
        return _caller(row, Kind.TOKEN)

    def of_session(self, token_id: str) -> Caller | None:
        """Who signed in with the token of this id; None once the token isn't valid any more."""
        row = self._active(token_id) if tokens.ID.fullmatch(token_id) else None
        if row is None:
            return None
        self._mark_used(row)
        return _caller(row, Kind.SESSION)

    def _active(self, token_id: str) -> ApiToken | None:
        row = self._row(token_id)
        if row is None or row.revoked_at is not None:
            return None
        return row if row.expires_at is None or row.expires_at > self._now() else None

    def _row(self, token_id: str) -> ApiToken | None:
        with self._lock:
            found = self._remembered.get(token_id)
            if found is not None and self._monotonic() - found.read_at < REMEMBER_SECONDS:
                return found.row
        began = self._monotonic()
        row = tokens.read(self._database, token_id)
        with self._lock:
            self._remembered[token_id] = _Remembered(row, began)
            self._remembered.move_to_end(token_id)
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return row

    def _mark_used(self, row: ApiToken) -> None:
        """Keep the time of the last use true to a minute, without writing at every request."""
        now = self._now()
        if row.last_used_at is not None and (now - row.last_used_at).total_seconds() < USED_EVERY_SECONDS:
            return
        # Set first: of many requests at once few should write.
        row.last_used_at = now
        try:
            tokens.mark_used(self._database, row.id)
        except SQLAlchemyError as error:
            log.warning("the last use of token %s isn't noted (%s)", row.id, type(error).__name__)


def _caller(row: ApiToken, kind: Kind) -> Caller:
    return Caller(row.id, row.name, Role(row.role), kind)
