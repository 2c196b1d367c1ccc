"""A small server that answers as a cluster's API server does to what the platform asks of one.

Add here what the platform asks. Keep out what it should have asked: that is each test's.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import certifi

ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/mlops/httproutes"


@dataclass
class Cluster:
    """What an API server would hold, by path, and what it was asked."""

    token: str = "first"
    refuses: int | None = None
    held: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        """Status and body for a server-side apply."""
        parts = urlsplit(path)
        self.asked.append(parts.path)
        if headers["Authorization"] != f"Bearer {self.token}":
            return 401, {"kind": "Status", "message": "Unauthorized"}
        if self.refuses is not None:
            return self.refuses, {"kind": "Status", "message": 'httproutes is forbidden:\nUser "x" cannot patch'}
        if headers["Content-Type"] != "application/apply-patch+yaml":
            return 415, {"kind": "Status", "message": "the body of the request was in an unknown format"}
        if "fieldManager" not in parse_qs(parts.query):
            return 422, {"kind": "Status", "message": "fieldManager is required for apply patch"}
        created = parts.path not in self.held
        self.held[parts.path] = json.loads(body)
        return (201 if created else 200), self.held[parts.path]

    def weights(self, route: str) -> dict[int, int]:
        """What an HTTPRoute's first rule gives each port."""
        backends = self.held[f"{ROUTES}/{route}"]["spec"]["rules"][0]["backendRefs"]
        return {each["port"]: each["weight"] for each in backends}


@dataclass(frozen=True)
class Place:
    """A cluster, its address, and an account's files."""

    cluster: Cluster
    url: str
    account: Path


@contextmanager
def api_server(account: Path) -> Iterator[Place]:
    """Serve an empty cluster; write an account's files into a folder."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, told = cluster.answer(self.path, self.headers, body)
            text = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    # Not used over plain HTTP, but read: a pod always has one.
    shutil.copy(certifi.where(), account / "ca.crt")
    (account / "token").write_text(f"{cluster.token}\n")
    (account / "namespace").write_text("mlops")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Place(cluster, f"http://127.0.0.1:{server.server_port}", account)
        finally:
            server.shutdown()
            thread.join()
