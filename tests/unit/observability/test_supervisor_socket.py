"""Orders to supervisord over its socket: sent once, refused in its words, never waited for longer than asked."""

from __future__ import annotations

import socket
import threading
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.observability.supervisor_socket import SupervisorRefusedError, SupervisorSilentError, call


class StandIn:
    """Listens where supervisord would and answers each request with `answer`; an empty one hangs up."""

    def __init__(self, path: Path) -> None:
        self.path, self.answer, self.heard = path, b"", list[bytes]()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                heard = connection.recv(65536)
                while b"</methodCall>" not in heard:
                    heard += connection.recv(65536)
                self.heard.append(heard)
                connection.sendall(self.answer)

    def says(self, body: str) -> None:
        """Answer with this XML from now on."""
        head = f"HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answer = (head + body).encode()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[StandIn]:
    made = StandIn(tmp_path / "s")
    yield made
    made.close()


def test_an_answer_and_what_was_asked(manager: StandIn) -> None:
    manager.says(xmlrpc.client.dumps((True,), methodresponse=True))
    assert call(manager.path, "startProcess", "daemon", False, seconds=5) is True
    (heard,) = manager.heard
    assert b"<methodName>supervisor.startProcess</methodName>" in heard
    assert b"daemon" in heard


def test_a_refusal_is_told_in_its_words(manager: StandIn) -> None:
    manager.says(xmlrpc.client.dumps(xmlrpc.client.Fault(60, "ALREADY_STARTED: daemon")))
    with pytest.raises(SupervisorRefusedError, match=r"^ALREADY_STARTED: daemon$"):
        call(manager.path, "startProcess", "daemon", False, seconds=5)


@pytest.mark.parametrize("body", [None, "<methodResponse><params>", "no XML"])
def test_an_order_without_an_answer_is_not_given_twice(manager: StandIn, body: str | None) -> None:
    if body is not None:
        manager.says(body)
    with pytest.raises(SupervisorSilentError) as silent:
        call(manager.path, "stopProcess", "daemon", False, seconds=5)
    assert not isinstance(silent.value, SupervisorRefusedError)
    assert str(manager.path) not in str(silent.value)
    assert len(manager.heard) == 1


def test_one_that_hangs_and_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SupervisorSilentError):
        call(tmp_path / "s", "getState", seconds=5)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        with pytest.raises(SupervisorSilentError, match="TimeoutError"):
            call(tmp_path / "s", "getState", seconds=0.1)
