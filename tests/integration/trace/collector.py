"""A small real OTLP/HTTP receiver: keeps the spans that are posted to it, and can be slow or refuse.

Add here what a test must see of spans. Keep out assertions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers import wait_until


@dataclass(frozen=True)
class Seen:
    """One received span. Ids are hexadecimal digits."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    seconds: float
    attributes: dict[str, Any]
    state: str


@dataclass
class Receiver:
    """What was posted so far; `status` is answered, after `seconds`."""

    port: int = 0
    status: int = 200
    seconds: float = 0.0
    spans: list[Seen] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    posts: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, trace_id: str) -> list[Seen]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def wait(self, trace_id: str, *services: str) -> list[Seen]:
        """The spans of a trace, once each of the services told of it."""
        wait_until(
            lambda: {span.service for span in self.of(trace_id)} >= set(services), 10,
            lambda: f"of {trace_id} only {self.of(trace_id)}",
        )  # fmt: skip
        return self.of(trace_id)

    def take(self, path: str, body: bytes) -> None:
        self.paths.append(path)
        for of_service in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {a.key: a.value.string_value for a in of_service.resource.attributes}
            for scope in of_service.scope_spans:
                for span in scope.spans:
                    pairs = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
                    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
                    self.spans.append(
                        Seen(
                            told.get("service.name", ""), span.name, span.trace_id.hex(), span.span_id.hex(),
                            span.parent_span_id.hex(), seconds, pairs, span.trace_state,
                        )
                    )  # fmt: skip


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.body()
            receiver.posts += 1
            time.sleep(receiver.seconds)
            if receiver.status == 200:
                receiver.take(self.path, body)
            self.send_response(receiver.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def body(self) -> bytes:
            """The gateway sends pieces, each with its length before it; the service a whole."""
            if self.headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(self.headers["content-length"]))
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)

        def log_message(self, *_: Any) -> None:
            """Nothing on the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
