"""What isn't run as a program of its own: Dagster's webserver, and a candidate's service, whose metrics are real."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from inference.metrics import Metrics


class Webserver(BaseHTTPRequestHandler):
    """Dagster's: both locations, one of them broken, and every schedule due a minute ago."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        loaded = {"name": "pipelines", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
        broken = {"name": "products", "locationOrLoadError": {"__typename": "PythonError"}}
        due = {"futureTicks": {"results": [{"timestamp": time.time() - 60}]}}
        data: dict[str, Any] = {name: due for name in asked["variables"] if name.startswith("s")}
        if "workspaceOrError" in asked["query"]:
            data["workspaceOrError"] = {"__typename": "Workspace", "locationEntries": [loaded, broken]}
        answer(self, json.dumps({"data": data}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def answer(request: BaseHTTPRequestHandler, body: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def candidate(product: str, folder: Path) -> Metrics:
    """The metrics of a service that is the candidate."""
    served: Any = SimpleNamespace(label="candidate")
    return Metrics(product, served, folder)


def predicted(metrics: Metrics, number: int) -> None:
    """So many answers, one of which failed."""
    arm = metrics.arm("candidate")
    for _ in range(number):
        arm.predictions.inc()
        arm.seconds.observe(0.004)
    metrics.failed(500)


def telling(metrics: Metrics) -> type[BaseHTTPRequestHandler]:
    """A server's handler that tells these metrics."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, metrics.exposition())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler


@contextmanager
def listening(port: int, handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server in a thread; its port, which is a free one for 0."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
