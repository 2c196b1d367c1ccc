"""The process that keeps a gateway's routes where the rollout controller is on another host: `… run_routes`.

Composition only: settings, products and ledger given to the router of `rollout`.
"""

from __future__ import annotations

import logging
import signal
import threading

from mlops_assets.installation.gateway_files import router
from mlops_assets.rollout.routing import follow
from mlops_assets.settings import load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load()
    stopped = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopped.set())
    database = Database.connect(settings.serving_database)
    follow(router(settings, declared_products(), database).step, stopped.wait)


if __name__ == "__main__":
    main()
