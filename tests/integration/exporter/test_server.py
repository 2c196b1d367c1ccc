"""The server's answers and limits, whatever a client sends, doesn't send or doesn't read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from mlops_assets.observability.exporter import server as exporter_server
from mlops_assets.observability.exporter.collector import Collector, of_group
from mlops_assets.observability.exporter.families import Sheet
from mlops_assets.observability.exporter.rising import Rising
from mlops_assets.observability.exporter.scraping import ExporterError, scrape
from mlops_assets.observability.exporter.server import ExporterServer
from mlops_assets.observability.exporter.watching import Lookout
from tests.servers import wait_until

METRICS = of_group("machine", only=("mlops_machine_cpus", "mlops_machine_load1"))


class Gate:
    """A look that works once it may."""

    def __init__(self) -> None:
        self.open = threading.Event()

    def __call__(self, sheet: Sheet) -> None:
        self.open.wait(30)
        sheet.put("mlops_machine_cpus", 4)
        sheet.put("mlops_machine_load1", 0.5)


@pytest.fixture
def gate() -> Gate:
    found = Gate()
    found.open.set()
    return found


@pytest.fixture
def server(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExporterServer]:
    monkeypatch.setattr(exporter_server, "FIRST_LOOK_SECONDS", 0.2)
    lookout = Lookout([Collector("cores", METRICS, 0.5, gate, rows=False)], Rising())
    lookout.start()
    found = ExporterServer("127.0.0.1", 0, lookout)
    answering = threading.Thread(target=found.serve_forever, args=(0.05,))
    answering.start()
    yield found
    gate.open.set()
    lookout.stop()
    found.shutdown()
    found.server_close()
    answering.join(20)


def url(server: ExporterServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def sent(server: ExporterServer, request: bytes) -> bytes:
    """What a request as bytes is answered with."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def test_what_is_there(server: ExporterServer) -> None:
    answer = httpx.get(f"{url(server)}/metrics?name=x")
    assert (answer.status_code, "mlops_machine_cpus 4.0\n" in answer.text) == (200, True)
    assert answer.headers["cache-control"] == "no-store"
    assert "Python" not in answer.headers["server"]
    assert httpx.get(f"{url(server)}/livez").text == "ok\n"
    head = httpx.head(f"{url(server)}/metrics")
    assert (head.status_code, head.content, int(head.headers["content-length"]) > 100) == (200, b"", True)


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/../livez", "/livez/x", "/%6detrics", "/[::"])
def test_what_is_not(server: ExporterServer, path: str) -> None:
    answer = sent(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 404 ")
    assert b"%6d" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "FETCH"])
def test_only_reading(server: ExporterServer, method: str) -> None:
    answer = sent(server, f"{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".encode())
    assert answer.startswith(b"HTTP/1.0 405 ")
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"X-Y: z\r\n" * 500 + b"\r\n",
        b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"<script> /metrics HTTP/1.1\r\n\r\n",
        b"",
    ],
)
def test_what_is_no_request_is_refused_and_not_repeated(server: ExporterServer, request_: bytes) -> None:
    answer = sent(server, request_)
    assert b" 200 " not in answer[:20]
    assert b"script" not in answer
    assert len(answer) < 500
    assert httpx.get(f"{url(server)}/livez").status_code == 200


def test_before_anything_is_known(server: ExporterServer, gate: Gate) -> None:
    gate.open.clear()
    lookout = server.lookout = Lookout([Collector("cores", METRICS, 0.5, gate, rows=False)], Rising())
    lookout.start()
    answer = httpx.get(f"{url(server)}/metrics")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert httpx.get(f"{url(server)}/livez").status_code == 200
    with pytest.raises(ExporterError, match="answers 503: Nothing is known yet"):
        scrape(url(server))
    gate.open.set()
    wait_until(lambda: httpx.get(f"{url(server)}/metrics").status_code == 200, 20)
    lookout.stop()


def test_clients_that_say_nothing_take_places_for_a_while_only(
    server: ExporterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter_server, "CONNECTION_SECONDS", 2.0)
    address = ("127.0.0.1", server.server_port)
    silent = [socket.create_connection(address, timeout=20) for _ in range(exporter_server.MOST_CONNECTIONS)]
    try:
        # The first byte of a request that never goes on.
        for connection in silent:
            connection.sendall(b"G")

        def refused() -> bool:
            try:
                return not httpx.get(f"{url(server)}/livez", timeout=5).is_success
            except httpx.TransportError:
                return True

        wait_until(refused, 20)
        wait_until(lambda: not refused(), 20)
        assert all(not connection.recv(100) for connection in silent)
    finally:
        for connection in silent:
            connection.close()


def test_what_a_person_asks_for(server: ExporterServer) -> None:
    said = scrape(url(server), "load1")
    assert [line.split()[0] for line in said.splitlines()] == ["#", "#", "mlops_machine_load1"]
    assert "mlops_collector_success" in scrape(url(server))
    with pytest.raises(ExporterError, match="mlops logs metrics"):
        scrape("http://127.0.0.1:1")


def test_a_port_that_is_taken_is_told(server: ExporterServer) -> None:
    with pytest.raises(OSError, match="in use"):
        ExporterServer("127.0.0.1", server.server_port, server.lookout)
