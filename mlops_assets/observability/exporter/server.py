"""Answers `GET /metrics` and `GET /livez` and nothing else.

Keep out what is told (`watching`). Limits: so many connections at once, so many seconds a connection, whatever a client
sends or doesn't read.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mlops_assets.observability.exporter.watching import Lookout

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
CONNECTION_SECONDS = 15.0
SILENCE_SECONDS = 5.0
FIRST_LOOK_SECONDS = 5.0
PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SAFETY = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


class Handler(BaseHTTPRequestHandler):
    """One request a connection."""

    server: ExporterServer
    timeout = SILENCE_SECONDS

    def handle(self) -> None:
        """As it is, but over after `CONNECTION_SECONDS`, however slowly the other side sends or reads."""
        over = threading.Timer(CONNECTION_SECONDS, _shut, [self.connection])
        over.daemon = True
        over.start()
        try:
            super().handle()
        except OSError:
            log.debug("a connection ended early")
        finally:
            over.cancel()

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/livez":
            self._answer(200, PLAIN, b"ok\n")
        else:
            self._answer(404, PLAIN, b"Not found: only /metrics and /livez are here.\n")

    # The same without the body, which `_answer` keeps back.
    do_HEAD = do_GET  # noqa: N815 (names that the base class looks for)

    def _metrics(self) -> None:
        if not self.server.lookout.ready(FIRST_LOOK_SECONDS):
            self._answer(503, PLAIN, b"Nothing is known yet.\n", ("Retry-After", "5"))
            return
        openmetrics = "application/openmetrics-text" in self.headers.get("Accept", "")
        self._answer(200, OPENMETRICS if openmetrics else PLAIN, self.server.lookout.text(openmetrics))

    def _answer(self, status: int, kind: str, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *SAFETY, *headers):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A refusal in one line: what was sent isn't repeated."""
        self.close_connection = True
        if code == 501:
            code = 405
        self._answer(code, PLAIN, f"{code}\n".encode(), *([("Allow", "GET, HEAD")] if code == 405 else []))

    def version_string(self) -> str:
        """Not which Python."""
        return "mlops"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line for every scrape helps nobody."""


class ExporterServer(ThreadingHTTPServer):
    """Listens from its creation; `serve_forever` answers until `shutdown`. OSError: the port can't be had."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, lookout: Lookout) -> None:
        self.lookout = lookout
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Without asking for the machine's name, which may take long."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, as long as there is a place for one."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then free the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line; the client got no answer."""
        log.exception("a request couldn't be answered")


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a connection had ended by itself")
