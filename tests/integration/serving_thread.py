"""An ASGI application that uvicorn serves in a thread, on a port that is known before it starts.

Keep out applications.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn

from tests.servers import wait_until


@contextmanager
def serving(app: Any, port: int, ws: Literal["auto", "none"] = "auto") -> Iterator[None]:
    """From listening to ended, with every connection closed."""
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, lifespan="off", ws=ws)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, 20)
        yield
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
