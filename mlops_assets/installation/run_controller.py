"""The process that makes the world agree with the ledger: `python -m mlops_assets.installation.run_controller`.

Composition only: settings, products and ledger given to the controller of `rollout`.
"""

from __future__ import annotations

import logging
import signal
import threading

from mlops_assets.installation.gateway_files import online_products, routes_file
from mlops_assets.installation.secret_files import operator_token
from mlops_assets.rollout.controller import Controller, follow
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.registry import Registry
from mlops_assets.settings import Settings, load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product


def controller(settings: Settings, products: list[Product], database: Database) -> Controller:
    """The controller of an installation."""
    return Controller(
        Ledger(database),
        online_products(settings, products),
        routes_file(settings),
        operator_token=operator_token(settings.secrets),
        registry=Registry(settings.mlflow_url),
    )


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load()
    stopped = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopped.set())
    follow(controller(settings, declared_products(), Database.connect(settings.database)), stopped.wait)


if __name__ == "__main__":
    main()
