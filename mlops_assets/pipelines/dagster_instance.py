"""Dagster's instance, opened by a process that serves many requests.

Keep out what is asked of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

STATEMENT_TIMEOUT_MS = 20_000
RECYCLE_SECONDS = 3600
MOST_CONNECTIONS = 10


def opener(settings: Settings) -> Callable[[], DagsterInstance]:
    """A function that opens the instance of the installation at its first call, whichever thread that comes from.

    Dagster takes half a second to import, which a process that never needs it doesn't pay.
    """
    lock = threading.Lock()
    opened: list[DagsterInstance] = []

    def instance() -> DagsterInstance:
        with lock:
            if not opened:
                from dagster import DagsterInstance

                found = DagsterInstance.from_config(str(settings.home))
                # One pool of connections instead of a new connection for every statement.
                found.optimize_for_webserver(STATEMENT_TIMEOUT_MS, RECYCLE_SECONDS, MOST_CONNECTIONS)
                opened.append(found)
        return opened[0]

    return instance
