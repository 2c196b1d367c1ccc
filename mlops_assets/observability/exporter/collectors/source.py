"""The two that collectors ask: the database, with time limits on everything, and Dagster's webserver.

Keep out what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, create_engine, text

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
ANSWER_SECONDS = 3.0
# As many as there are collectors that ask the database; each holds one while it looks.
CONNECTIONS = 17
# The time zone stays the server's own: Dagster writes times without one, in that of its session, which is the same.
OPTIONS = {
    "statement_timeout": f"{STATEMENT_SECONDS * 1000}",
    "lock_timeout": "2000",
    "idle_in_transaction_session_timeout": "30000",
    "default_transaction_read_only": "on",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}


class WebserverError(RuntimeError):
    """Dagster's webserver doesn't answer as it should."""


class Source:
    """The database, read only. Opens no connection until it is asked."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def _engine(self) -> Engine:
        return create_engine(
            self._url,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            # A server of their own may sit behind something that forgets silent connections.
            pool_recycle=600,
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "application_name": "mlops metrics",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 20_000,
                "options": " ".join(f"-c {key}={value}" for key, value in OPTIONS.items()),
            },
        )

    @contextmanager
    def asking(self) -> Iterator[Connection]:
        """One read-only transaction. Raises SQLAlchemyError."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Row[Any]]:
        """The rows of one statement in a transaction of its own. Raises SQLAlchemyError."""
        with self.asking() as connection:
            return rows(connection, statement, values)

    def close(self) -> None:
        """Give all connections up."""
        if "_engine" in self.__dict__:
            self._engine.dispose()


def rows(connection: Connection, statement: str, values: Mapping[str, Any] | None = None) -> list[Row[Any]]:
    """The rows of one statement."""
    return list(connection.execute(text(statement), dict(values or {})))


class Webserver:
    """Dagster behind its webserver, for questions that take it milliseconds. `headers` let them in."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._headers = dict(headers or {})

    @cached_property
    def _client(self) -> httpx.Client:
        import httpx

        return httpx.Client(timeout=ANSWER_SECONDS, trust_env=False, headers=self._headers)

    def ask(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The data of a GraphQL answer. Raises WebserverError, without words that came from elsewhere."""
        import httpx

        question = {"query": document, "variables": dict(variables or {})}
        try:
            answer = self._client.post(f"{self._url}/graphql", json=question).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise WebserverError(type(error).__name__) from None
        if not isinstance(answer, dict) or answer.get("errors") or not isinstance(answer.get("data"), dict):
            raise WebserverError("it refuses the question")
        return dict(answer["data"])

    def close(self) -> None:
        """Give the connections up."""
        if "_client" in self.__dict__:
            self._client.close()
