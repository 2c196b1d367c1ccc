"""GraphQL in one form only: a JSON document in a POST. An ASGI application around Dagster's.

Dagster would take a change from an address that somebody opens, or from a plain form too. Then neither the look at
where a request comes from nor the audit of changes would see one. Keep out who may ask.
"""

from __future__ import annotations

from mlops_assets.installation.guard import Application, Headers, Receive, Scope, Send, answer

REFUSAL = b"GraphQL is asked with POST and content-type application/json.\n"


class OneForm:
    """`application`, whose GraphQL is at `path`. A browser that opens that gets Dagster's page to try it."""

    def __init__(self, application: Application, path: str) -> None:
        self._application = application
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._path or _fits(scope["method"], scope["headers"]):
            await self._application(scope, receive, send)
        else:
            await answer(send, "http.response", 415, REFUSAL)


def _fits(method: str, headers: Headers) -> bool:
    if method == "POST":
        types = [value.split(b";")[0].strip().lower() for name, value in headers if name == b"content-type"]
        return types == [b"application/json"]
    # Dagster answers its page whatever the address asks.
    accepted = [value for name, value in headers if name == b"accept"]
    return method == "GET" and len(accepted) == 1 and b"text/html" in accepted[0]
