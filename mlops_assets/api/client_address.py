"""From which address a request came, as the gateway says it, which every person's request passes.

Keep out what is done with it.
"""

from __future__ import annotations

import ipaddress

from starlette.requests import Request

HEADER = "x-envoy-external-address"


def client_address(request: Request) -> str:
    """The address of whoever asks; empty when nobody knows it.

    The gateway overwrites the header whatever a client sends. It counts only from this machine or the one that the
    request reached, where the gateway runs; others speak to the control API directly.
    """
    peer = request.client.host if request.client else ""
    said = request.headers.get(HEADER, "")
    server = request.scope.get("server")
    if _address(said) and (_is_loopback(peer) or (server is not None and peer == server[0])):
        return said
    return peer


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _address(text) and ipaddress.ip_address(text).is_loopback
