"""A connection to PostgreSQL whose every call ends in time, even when the server is frozen mid-answer.

Add here what any small process of ours needs to talk to the database. Keep out SQL. psycopg2's blocking calls have
no limit of the client's own, so the connection is an asynchronous one that is polled with a deadline.
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812

CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
# SQLSTATE classes that blame the values of a statement, so that sending it again would end the same way:
# cardinality, data, integrity, view check, limits of one value, and an exception raised by a trigger.
VALUES_AT_FAULT = ("21", "22", "23", "44", "54", "P0")


class DatabaseDownError(RuntimeError):
    """The database can't do it now; later it may. The message says why, without the password."""


class RefusedError(RuntimeError):
    """The database will never take these values.

    `kind` names the SQLSTATE and may be logged; the message may quote the values.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class TimedConnection:
    """One connection, opened at the first statement and again after any trouble. Not for threads."""

    def __init__(
        self,
        url: str,
        *,
        name: str,
        options: Mapping[str, str] | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        statement_seconds: float = STATEMENT_SECONDS,
    ) -> None:
        self._dsn = url.replace("postgresql+psycopg2://", "postgresql://", 1)
        self._name = name
        limit = int(statement_seconds * 1000)
        given = {"statement_timeout": f"{limit}", "idle_in_transaction_session_timeout": f"{limit}", "timezone": "UTC"}
        self._options = " ".join(f"-c {key}={value}" for key, value in (given | dict(options or {})).items())
        self._connect_seconds = connect_seconds
        # The server's own limit comes first: it leaves a connection that can be used again.
        self._statement_seconds = statement_seconds + 2
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection as far as we know."""
        return self._connection is not None

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of the last statement in `sql`. Raises DatabaseDownError, RefusedError.

        Autocommit: a transaction is what BEGIN and COMMIT are sent for.
        """
        import psycopg2

        try:
            if self._connection is None:
                self._connect()
            return self._ask(sql, parameters)
        except psycopg2.Error as error:
            raise self._told(error) from error
        except (TimeoutError, OSError) as error:
            self.close()
            raise DatabaseDownError(str(error)) from error

    def close(self) -> None:
        """Drop the connection and with it an open transaction; the next statement opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> None:
        import psycopg2

        self._connection = psycopg2.connect(
            self._dsn, async_=1, application_name=self._name, options=self._options, keepalives_idle=10
        )
        wait(self._connection, time.monotonic() + self._connect_seconds)

    def _ask(self, sql: str, parameters: Mapping[str, Any] | None) -> list[tuple[Any, ...]]:
        assert self._connection is not None
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            wait(self._connection, time.monotonic() + self._statement_seconds)
            return cursor.fetchall() if cursor.description is not None else []

    def _told(self, error: Any) -> Exception:
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if error.pgcode and error.pgcode.startswith(VALUES_AT_FAULT):
            return RefusedError(f"{type(error).__name__} ({error.pgcode})", message)
        self.close()
        # A statement that was refused for another reason (no such table) quotes no values either.
        return DatabaseDownError(message)


def wait(connection: Connection, deadline: float) -> None:
    """Return when an asynchronous connection has done what it was asked. TimeoutError at `deadline` (monotonic)."""
    from psycopg2.extensions import POLL_OK, POLL_READ

    while (state := connection.poll()) != POLL_OK:
        left = deadline - time.monotonic()
        sockets = [connection.fileno()]
        read, write = (sockets, []) if state == POLL_READ else ([], sockets)
        if left <= 0 or not any(select.select(read, write, [], left)):
            raise TimeoutError("the database does not answer in time")
