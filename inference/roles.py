"""Which release a variant of a product should serve, as the ledger in PostgreSQL says it.

Add here what must be read from the ledger to follow it. Keep out what is done about it (`follower`) and every
write: serving only reads. Each call has a time limit that holds even when the server is frozen mid-answer.
"""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from inference.settings import Variant

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

LIMIT_SECONDS = 2.0

# The newest decision first, then its release: an older row that still joins must never win.
_QUERY = """
WITH newest AS (
  SELECT production, candidate, created_at FROM mlops.ledger
  WHERE product = %(product)s ORDER BY seq DESC LIMIT 1
)
SELECT release.version, release.uri, newest.created_at
FROM newest JOIN mlops.release ON release.product = %(product)s
AND release.version = CASE %(variant)s WHEN 'production' THEN newest.production ELSE newest.candidate END
"""


class RolesError(RuntimeError):
    """The ledger can't be read now; the message says why, without the password."""


@dataclass(frozen=True)
class Role:
    """The release a variant should serve ("" as `uri`: it has no files) and when that was decided last."""

    version: int
    uri: str
    since: datetime | None = None


class RoleReader(Protocol):
    """Where a variant's role is read from."""

    def current(self) -> Role | None:
        """The role now, or None when the variant has none. Raises RolesError."""

    def close(self) -> None:
        """Give up the connection, if there is one."""


class PostgresRoles:
    """The role in the ledger of a database; one connection, opened again after any error. Not for threads."""

    def __init__(self, url: str, product: str, variant: Variant, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._dsn = url.replace("postgresql+psycopg2://", "postgresql://", 1)
        self._parameters = {"product": product, "variant": variant}
        self._limit = limit_seconds
        self._connection: Connection | None = None

    def current(self) -> Role | None:
        """One query; at most `limit_seconds` for connecting and asking together."""
        import psycopg2

        deadline = time.monotonic() + self._limit
        try:
            row = self._ask(deadline)
        except (psycopg2.Error, TimeoutError, OSError) as error:
            self.close()
            message = str(error).strip().splitlines() or [type(error).__name__]
            raise RolesError(f"the ledger can't be read: {message[0]}") from error
        if row is None:
            return None
        version, uri, since = row
        return Role(version=version, uri=uri or "", since=since)

    def _ask(self, deadline: float) -> tuple[Any, ...] | None:
        if self._connection is None:
            self._connection = self._connect(deadline)
        cursor = self._connection.cursor()
        cursor.execute(_QUERY, self._parameters)
        _wait(self._connection, deadline)
        row: tuple[Any, ...] | None = cursor.fetchone()
        cursor.close()
        return row

    def _connect(self, deadline: float) -> Connection:
        import psycopg2

        # psycopg2's blocking calls have no limit of the client's own; an asynchronous one is polled.
        connection: Connection = psycopg2.connect(
            self._dsn,
            async_=1,
            application_name=f"inference {self._parameters['product']} {self._parameters['variant']}",
            options=f"-c statement_timeout={int(self._limit * 1000)} -c default_transaction_read_only=on",
        )
        self._connection = connection
        _wait(connection, deadline)
        return connection

    def close(self) -> None:
        """Drop the connection; the next `current` opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _wait(connection: Connection, deadline: float) -> None:
    from psycopg2.extensions import POLL_OK, POLL_READ

    while (state := connection.poll()) != POLL_OK:
        left = deadline - time.monotonic()
        sockets = [connection.fileno()]
        read, write = (sockets, []) if state == POLL_READ else ([], sockets)
        if left <= 0 or not any(select.select(read, write, [], left)):
            raise TimeoutError("the database does not answer in time")
