"""One question or order to supervisord, the process manager, as XML-RPC over its socket, with a time limit.

Keep out what is asked and what answers mean. Of the standard library alone, for programs that have to stay light.
"""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from mlops_assets.settings import Settings


class SupervisorSilentError(RuntimeError):
    """supervisord doesn't answer as it should; the message is the kind of fault, without addresses."""


class SupervisorRefusedError(SupervisorSilentError):
    """supervisord answers that it won't; the message is its own."""


def socket_of(settings: Settings) -> Path:
    """Where an installation's supervisord listens."""
    return settings.run_dir / "supervisor.sock"


def call(path: Path, method: str, *arguments: Any, seconds: float) -> Any:
    """What `supervisor.<method>` answers on the socket at `path`; each wait for it takes no longer than `seconds`.

    Raises SupervisorRefusedError, SupervisorSilentError.
    """
    try:
        with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(path, seconds)) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)
    except xmlrpc.client.Fault as fault:
        raise SupervisorRefusedError(fault.faultString) from fault
    except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
        raise SupervisorSilentError(type(error).__name__) from error


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def request(self, host: Any, handler: str, request_body: Any, verbose: bool = False) -> Any:
        # Once: the library would send an order again whose answer was lost.
        return self.single_request(host, handler, request_body, verbose)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path, self._seconds)
        # Kept where `close` finds it.
        self._connection = host, connection
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        # Kept at once, so that it is closed with the connection if nobody is there.
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
