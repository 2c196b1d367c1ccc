"""From which address a request came, as the gateway says it, which every person's request passes.

Keep out what is done with it.
"""

from __future__ import annotations

import hmac
import ipaddress

from starlette.requests import Request

from mlops_assets.rollout.envoy.door import DOOR_HEADER

HEADER = "x-envoy-external-address"


def client_address(request: Request) -> str:
    """The address of whoever asks; empty when nobody knows it.

    The gateway overwrites the header whatever a client sends. It counts from this machine or the one that the request
    reached, and from another host by the token that the gateway alone sends; others speak to the control API directly.
    """
    peer = request.client.host if request.client else ""
    said = request.headers.get(HEADER, "")
    server = request.scope.get("server")
    near = _is_loopback(peer) or (server is not None and peer == server[0])
    return said if _address(said) and (near or _from_gateway(request)) else peer


def _from_gateway(request: Request) -> bool:
    token: str | None = getattr(request.app.state, "inner_token", None)
    shown = request.headers.get(DOOR_HEADER, "").encode("latin-1", "replace")
    return token is not None and hmac.compare_digest(shown, token.encode())


def _address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    return _address(text) and ipaddress.ip_address(text).is_loopback
