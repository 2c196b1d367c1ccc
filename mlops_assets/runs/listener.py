"""The fork server's door: its Unix socket and the lock that makes the server the only one behind it.

Add here how the socket comes to be and how it survives a re-execution. Keep out what comes through it.
"""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from mlops_assets.runs.protocol import private_directory

BACKLOG = 128


class Listener:
    """A listening socket (mode 0600, in a private folder) and its lock; `bind` or `take_over` opens them."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = -1

    def bind(self) -> None:
        """Lock and listen; a dead server's socket is replaced. Raises SystemExit when another one lives."""
        private_directory(Path(self.path).parent)
        self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another fork server serves {self.path}") from None
        Path(self.path).unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self.socket.bind(self.path)
        finally:
            os.umask(mask)
        self.socket.listen(BACKLOG)
        self.socket.setblocking(False)

    def hand_over(self) -> tuple[int, int]:
        """Make the socket and the lock survive an exec; their descriptors, for `take_over` afterwards."""
        descriptors = (self.socket.fileno(), self._lock)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        return descriptors

    def take_over(self, listening: int, lock: int) -> None:
        """Go on with the descriptors of `hand_over`, after an exec of the same process."""
        self.socket.close()
        self.socket = socket.socket(fileno=listening)
        self.socket.setblocking(False)
        self._lock = lock
        for descriptor in (listening, lock):
            os.set_inheritable(descriptor, False)

    def accept(self) -> socket.socket | None:
        """The next client's connection, non-blocking; None when there is none after all."""
        try:
            connected, _ = self.socket.accept()
        except BlockingIOError:
            return None
        connected.setblocking(False)
        return connected

    def forget(self) -> None:
        """In a forked child: close the copies, or a dead server's lock would live on in its runs."""
        self.socket.close()
        os.close(self._lock)

    def close(self) -> None:
        """Stop listening and remove the socket; clients are refused from now on."""
        self.socket.close()
        Path(self.path).unlink(missing_ok=True)
