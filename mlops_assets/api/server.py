"""`python -m mlops_assets.api.server`: the control API as a process of the installation.

Keep out the application (`app`). SIGTERM lets requests finish, then closes the database's connections.
"""

from __future__ import annotations

import gc
import logging
import sys

import uvicorn

from mlops_assets.api.app import create_app
from mlops_assets.api.auth import TokenError, read_token
from mlops_assets.settings import Settings, SettingsError, load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import DeclarationError

STOP_SECONDS = 8
TOKEN_FILE = "operator_token"  # noqa: S105 (a file's name)


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises TokenError or DeclarationError before it listens."""
    database = Database.connect(settings.database)
    app = create_app(settings, database, token=read_token(settings.secrets / TOKEN_FILE))
    # What is loaded stays: a collection that goes through all of it would hold up one request in twenty.
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.ports.api,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=75,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="info",
    )
    try:
        uvicorn.Server(config).run()
    finally:
        database.dispose()


def main() -> None:
    """Start, or say in one line why not."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(load())
    except (TokenError, SettingsError, DeclarationError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
