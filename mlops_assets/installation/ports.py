"""Which ports are free, and who holds one that isn't.

Keep out which program listens where: that is `programs.py`.
"""

from __future__ import annotations

import socket

import psutil


class PortTakenError(RuntimeError):
    """A port that a program needs belongs to another process; the message names both and the way out."""


def is_free(host: str, port: int) -> bool:
    """True if a server could listen on host:port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free, one with a listener isn't.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def answers(host: str, port: int, timeout_seconds: float = 0.5) -> bool:
    """True if something accepts a connection on host:port."""
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def holder(port: int) -> str:
    """The process that listens on `port`, for a person: name and pid, as far as the system tells."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            local = connection.laddr
            if local and local.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return "another process"
    return "another process"


def refuse_taken(host: str, wanted: dict[str, int]) -> None:
    """Check that every port of `wanted` (title → port) is free.

    Raises:
        PortTakenError: one isn't.
    """
    taken = [
        f"port {port} ({title}) is taken by {holder(port)}" for title, port in wanted.items() if not is_free(host, port)
    ]
    if taken:
        raise PortTakenError(
            "; ".join(taken) + ". Stop it, or move this installation: MLOPS_PORT_OFFSET=1000 is added to every port"
        )
