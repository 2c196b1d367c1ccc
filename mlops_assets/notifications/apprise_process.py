"""The process that sends one message: `python -m mlops_assets.notifications.apprise_process`, a request on stdin.

A process of its own, because a plugin that hangs can be ended, one that crashes takes nothing with it, and what
apprise and its libraries log, addresses among it, is in nobody's log. The answer on stdout is
{"sent": bool, "error": str}; its reader takes the secrets out of the error. Keep out retries (`deliver`).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

# What apprise says of a failure only at DEBUG, and what people need to know of it.
DETAIL = "Socket Exception: "


class _Heard(logging.Handler):
    """Keeps apprise's warnings and the details of its failures."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.WARNING or text.startswith(DETAIL):
            self.said.append(text.removeprefix(DETAIL))


def send(request: dict[str, Any]) -> dict[str, Any]:
    """Send `title` with `text` or `html` to `url` as `type`; with `check`, only look whether the address is usable."""
    import apprise

    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(heard)
    asset = apprise.AppriseAsset(app_id="mlops", app_desc="MLOps platform", app_url="", async_mode=False)
    service = apprise.Apprise.instantiate(request["url"], asset=asset)
    if service is None:
        scheme = request["url"].partition("://")[0].lower()
        known = scheme in {name for found in apprise.Apprise().details()["schemas"] for name in _names(found)}
        said = f"the address isn't a complete {scheme}:// one" if known else f"apprise knows no {scheme}://"
        return {"sent": False, "error": f"{said}; see https://appriseit.com/services/"}
    if request.get("check"):
        return {"sent": True, "error": ""}
    if "overflow=" not in request["url"].lower():
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    rich = service.resolve_format() is apprise.NotifyFormat.HTML
    result = sender.notify(
        title=request["title"],
        body=request["html"] if rich else request["text"],
        body_format=apprise.NotifyFormat.HTML if rich else apprise.NotifyFormat.TEXT,
        notify_type=request["type"],
    )
    # An address with optional=yes counts as a success whatever happened: only what an attempt says counts.
    sent = any(attempt for found in result for attempt in found)
    return {"sent": sent, "error": "" if sent else "; ".join(dict.fromkeys(heard.said)) or "the service refused it"}


def _names(found: dict[str, Any]) -> list[str]:
    return [*(found["protocols"] or []), *(found["secure_protocols"] or [])]


def main() -> None:
    """Read the request, send, answer; whatever a plugin prints goes nowhere."""
    request = json.loads(sys.stdin.buffer.read())
    with os.fdopen(os.dup(1), "w") as answer:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            told = send(request)
        except Exception as error:  # noqa: BLE001 (whatever a plugin raises is a failed delivery)
            told = {"sent": False, "error": f"{type(error).__name__}: {error}"}
        answer.write(json.dumps(told))


if __name__ == "__main__":
    main()
