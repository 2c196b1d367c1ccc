"""Questions to PostgreSQL that never wait longer than they may, not even on a server frozen in mid-answer.

Add here what every reader of the database needs. Keep out the questions themselves (`roles`, `log_store`) and
every write: serving only reads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inference.timed_connection import wait

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

LIMIT_SECONDS = 2.0
READ_ONLY = "-c default_transaction_read_only=on -c timezone=UTC"


class DatabaseError(RuntimeError):
    """The database can't be read now; the message says why, without the password."""


class Reader:
    """One read-only connection, opened when it is first needed and again after any error. Not for threads."""

    def __init__(self, url: str, name: str, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._dsn = url.replace("postgresql+psycopg2://", "postgresql://", 1)
        self._name = name
        self._limit = limit_seconds
        self._connection: Connection | None = None

    def ask(self, query: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Every row; at most `limit_seconds` for connecting and asking together. Raises DatabaseError."""
        import psycopg2

        deadline = time.monotonic() + self._limit
        try:
            return self._ask(query, parameters, deadline)
        except (psycopg2.Error, TimeoutError, OSError) as error:
            self.close()
            message = str(error).strip().splitlines() or [type(error).__name__]
            raise DatabaseError(message[0]) from error

    def _ask(self, query: str, parameters: Mapping[str, Any], deadline: float) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = self._connect(deadline)
        cursor = self._connection.cursor()
        cursor.execute(query, parameters)
        wait(self._connection, deadline)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        cursor.close()
        return rows

    def _connect(self, deadline: float) -> Connection:
        import psycopg2

        # psycopg2's blocking calls have no limit of the client's own; an asynchronous one is polled.
        connection: Connection = psycopg2.connect(
            self._dsn,
            async_=1,
            application_name=self._name,
            options=f"-c statement_timeout={int(self._limit * 1000)} {READ_ONLY}",
        )
        self._connection = connection
        wait(connection, deadline)
        return connection

    def close(self) -> None:
        """Drop the connection; the next `ask` opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
