"""A stand-in for a product's service that tests can make fail, hang, reset, refuse or be busy.

`python -m tests.integration.upstream NAME PORT HOST` answers every path with what it was asked, as JSON.
`POST /control` with `{"mode": …, "ready": …, "seconds": …}` changes how; `GET /control` tells what was asked since the
last change.
Keep out anything a product does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httptools
import httpx

from tests.servers import process

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\nx-served-by: %s\r\n\r\n"
REASONS = {200: "OK", 422: "Unprocessable", 500: "Fault", 503: "Busy"}


class Stub:
    """What all connections share: the present mode, and what was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mode, self.ready, self.seconds = "ok", True, 0.0
        self.asked: list[dict[str, Any]] = []
        self.count = 0
        # Answers to /quick are made once: a benchmark measures the gateway, not this.
        self.quick = PLAIN % name.encode() + b'{"estimate": 42}'

    def control(self, body: bytes) -> dict[str, Any]:
        """Change the mode if a body came, and tell what was asked so far."""
        found = {"count": self.count, "asked": self.asked}
        if body:
            for key, value in json.loads(body).items():
                setattr(self, key, value)
            self.asked, self.count = [], 0
        return found


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.waiting: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.path, self.body = "", bytearray()
        self.headers: list[tuple[str, str]] = []

    def on_url(self, url: bytes) -> None:
        self.path += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin1").lower(), value.decode("latin1")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        stub = self.stub
        if self.path == "/readyz":
            self.answer(200 if stub.ready else 503, {})
        elif self.path == "/control":
            self.answer(200, stub.control(bytes(self.body)))
        else:
            stub.count += 1
            if self.path.startswith("/quick"):
                self.transport.write(stub.quick)
                return
            asked = {
                "method": self.parser.get_method().decode(),
                "path": self.path,
                "headers": dict(self.headers),
                "names": [name for name, _ in self.headers],
                "bytes": len(self.body),
            }
            if len(stub.asked) < 1000:
                stub.asked.append(asked)
            self.act(asked)

    def act(self, asked: dict[str, Any]) -> None:
        mode = self.stub.mode
        if mode == "reset":
            self.transport.abort()
        elif mode == "slow":
            task = asyncio.ensure_future(self.later(asked))
            self.waiting.add(task)
            task.add_done_callback(self.waiting.discard)
        elif mode != "hang":
            self.answer({"ok": 200, "fail": 500, "busy": 503, "refuse": 422}[mode], asked)

    async def later(self, asked: dict[str, Any]) -> None:
        await asyncio.sleep(self.stub.seconds)
        self.answer(200, asked)

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps({"service": self.stub.name, **content}).encode()
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        head += f"\r\nx-served-by: {self.stub.name}\r\nx-model-version: 7\r\nserver: stub\r\n\r\n"
        self.transport.write(head.encode() + body)


@contextmanager
def upstream(name: str, port: int, folder: Path, host: str = "127.0.0.1") -> Iterator[Any]:
    """A started stub; its process."""
    url = f"http://{host}:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/control", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    command = [sys.executable, "-m", "tests.integration.upstream", name, str(port), host]
    with process(command, folder / f"{name}-{host}-{port}.log", ready) as running:
        yield running


async def serve(name: str, port: int, host: str) -> None:
    loop = asyncio.get_running_loop()
    stub = Stub(name)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(lambda: Connection(stub), host, port, backlog=1024)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
