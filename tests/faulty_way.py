"""A way to a server that tests can make slow, cut or closed: a TCP proxy in this process.

Keep out what is spoken over it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BLOCK = 64 * 1024


@dataclass
class FaultyWay:
    """`port` leads to `target`. `cut_after` bytes of what clients send, a connection is reset, as often as `cuts` says.

    `closed` resets every new connection at once; `silent` takes it and passes nothing on. `sent` is what clients sent.
    """

    target: tuple[str, int]
    port: int = 0
    closed: bool = False
    silent: bool = False
    cuts: int = 0
    cut_after: int = 0
    sent: bytearray = field(default_factory=bytearray)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.closed:
                _reset(client)
                continue
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        if self.silent:
            with suppress(OSError):
                while client.recv(BLOCK):
                    pass
            client.close()
            return
        server = socket.create_connection(self.target, timeout=10)
        server.settimeout(None)
        back = threading.Thread(target=self._pass_on, args=(server, client, False), daemon=True)
        back.start()
        self._pass_on(client, server, True)
        back.join(10)

    def _pass_on(self, source: socket.socket, sink: socket.socket, asking: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(BLOCK):
                passed += len(data)
                if asking:
                    self.sent += data[:2000]
                    if self.cuts > 0 and passed > self.cut_after:
                        self.cuts -= 1
                        _reset(source)
                        break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _reset(connection: socket.socket) -> None:
    # Lingering for no time sends a reset instead of a goodbye.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


@contextmanager
def faulty_way(host: str, port: int) -> Iterator[FaultyWay]:
    """A way to `host:port`, open and well at first."""
    listener = socket.create_server(("127.0.0.1", 0))
    way = FaultyWay((host, port), listener.getsockname()[1])
    thread = threading.Thread(target=way._serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield way
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
