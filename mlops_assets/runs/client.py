"""The fork server seen from outside: ask it to start a run, or how it is.

Add a call here when the server learns a message. Keep out Dagster, and what to do when the server can't help:
the launcher decides that.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from mlops_assets.runs.process import ProcessIdentity
from mlops_assets.runs.protocol import (
    ANSWERS,
    GO,
    Launch,
    Ping,
    ProtocolError,
    Refused,
    Started,
    Status,
    checked_socket_path,
    encode,
    receive,
)


class ForkServerUnavailableError(Exception):
    """The fork server did not start the run, for certain: starting it another way can't start it twice."""


class ForkServerClient:
    """Talks to the server behind one socket; every call opens its own connection and has a time limit."""

    def __init__(self, socket_path: str, *, timeout_seconds: float = 5.0) -> None:
        self.socket_path = checked_socket_path(socket_path)
        self.timeout_seconds = timeout_seconds

    def launch(self, request: Launch, *, record: Callable[[ProcessIdentity], None]) -> ProcessIdentity:
        """Fork a process for a run; `record` is called with its identity before it may run anything.

        Raises ForkServerUnavailableError when nothing was started and nothing will be. What `record` raises
        passes through, and the child then ends without having run.
        """
        with self._connect() as connection:
            answer = self._ask(connection, encode(request))
            if not isinstance(answer, Started):
                raise ForkServerUnavailableError(f"unexpected answer to a launch: {answer.type}")
            identity = ProcessIdentity.parse(answer.process)
            record(identity)
            try:
                connection.sendall(GO)
            except OSError as error:
                raise ForkServerUnavailableError(
                    f"process {identity.pid} ended before it could begin: {error}"
                ) from error
            return identity

    def status(self) -> Status:
        """How the server is. Raises ForkServerUnavailableError when it does not answer in time."""
        with self._connect() as connection:
            answer = self._ask(connection, encode(Ping()))
        if not isinstance(answer, Status):
            raise ForkServerUnavailableError(f"unexpected answer to a ping: {answer.type}")
        return answer

    def wait_until_ready(self, timeout_seconds: float) -> Status:
        """Poll until the server answers. Raises ForkServerUnavailableError when it doesn't in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                return self.status()
            except ForkServerUnavailableError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.05)

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout_seconds)
        try:
            connection.connect(self.socket_path)
        except OSError as error:
            connection.close()
            raise ForkServerUnavailableError(f"no fork server at {self.socket_path}: {error}") from error
        return connection

    def _ask(self, connection: socket.socket, frame: bytes) -> Started | Status:
        try:
            connection.sendall(frame)
            body = receive(connection)
        except TimeoutError as error:
            raise ForkServerUnavailableError(
                f"the fork server at {self.socket_path} did not answer within {self.timeout_seconds:g} s"
            ) from error
        except (OSError, ProtocolError) as error:
            raise ForkServerUnavailableError(f"talking to the fork server failed: {error}") from error
        if body is None:
            raise ForkServerUnavailableError("the fork server closed the connection without an answer")
        answer = ANSWERS.validate_python(body)
        if isinstance(answer, Refused):
            raise ForkServerUnavailableError(answer.reason)
        return answer
