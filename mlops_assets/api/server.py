"""`python -m mlops_assets.api.server`: the control API as a process of the installation.

Keep out the application (`app`). SIGTERM lets requests finish, then closes the database's connections.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from datetime import UTC, datetime
from types import FrameType

import uvicorn
from fastapi import FastAPI

from mlops_assets.api.app import create_app
from mlops_assets.api.auth import TokenError, read_token
from mlops_assets.api.pipelines.parts import Parts
from mlops_assets.observability.health.policy import PolicyError
from mlops_assets.settings import Settings, SettingsError, load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import DeclarationError

STOP_SECONDS = 8
AGAIN_SECONDS = 5.0
TOKEN_FILE = "operator_token"  # noqa: S105 (a file's name)

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Tells live streams to end when it is told to, so that it needn't wait for them."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """As uvicorn's, and live streams end by themselves."""
        self._app.state.stopping = True
        super().handle_exit(sig, frame)


def take_up_runs(parts: Parts, started: datetime) -> None:
    """Submit the runs that the process before this one made and didn't come to submit; again until that works."""
    from mlops_assets.pipelines.launching import submit_left

    while True:
        try:
            left = submit_left(parts.instance(), started)
        except Exception as error:  # noqa: BLE001 whatever Dagster says of a database that is away
            log.warning("runs that were left can't be looked for yet (%s)", type(error).__name__)
            time.sleep(AGAIN_SECONDS)
            continue
        if left:
            log.info("%d runs that were made and not submitted are submitted now", len(left))
        return


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises TokenError or DeclarationError before it listens."""
    database = Database.connect(settings.database)
    app = create_app(settings, database, token=read_token(settings.secrets / TOKEN_FILE))
    # What is loaded stays: a collection that goes through all of it would hold up one request in twenty.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        host=settings.listen,
        port=settings.ports.api_server,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=75,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="info",
    )
    left = (app.state.parts, datetime.now(UTC))
    threading.Thread(target=take_up_runs, args=left, name="take up runs", daemon=True).start()
    try:
        Server(config, app).run()
    finally:
        database.dispose()


def main() -> None:
    """Start, or say in one line why not."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(load())
    except (TokenError, SettingsError, DeclarationError, PolicyError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
