"""The process that makes the world agree with the ledger and tells people: `… run_controller`.

Composition only: settings, products and ledger given to the controller of `rollout` and, in a thread of its own, to
the notifier.
"""

from __future__ import annotations

import logging
import signal
import threading

from mlops_assets.installation.gateway_files import online_products, routes_file
from mlops_assets.installation.programs import Program, platform_programs, product_programs, rollout_programs
from mlops_assets.installation.secret_files import operator_token
from mlops_assets.notifications.notifier import Notifier
from mlops_assets.notifications.notifier import follow as tell
from mlops_assets.notifications.probes import Probe
from mlops_assets.rollout.controller import Controller, follow
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.registry import Registry
from mlops_assets.settings import Settings, load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product

# At a stop, a message that is being sent may be finished.
TELLING_SECONDS = 12.0


def controller(settings: Settings, products: list[Product], database: Database) -> Controller:
    """The controller of an installation."""
    return Controller(
        Ledger(database),
        online_products(settings, products),
        routes_file(settings),
        operator_token=operator_token(settings.secrets),
        registry=Registry(settings.mlflow_server_url, headers=settings.inner_headers()),
    )


def probes(settings: Settings, products: list[Product]) -> list[Probe]:
    """What people are told of when it stops answering: every program that has an address."""
    programs = [*platform_programs(settings), *rollout_programs(settings, "")]
    programs += [program for product in products for program in product_programs(settings, product)]
    return [Probe(p.name, p.title, _address(settings, p)) for p in programs if p.port is not None]


def _address(settings: Settings, program: Program) -> str:
    at = f"{settings.host}:{program.port}"
    return f"http://{at}{program.ready_path}" if program.ready_path else f"tcp://{at}"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = load()
    stopped = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopped.set())
    products, database = declared_products(), Database.connect(settings.database)
    notifier = Notifier(settings, database, probes(settings, products))
    telling = threading.Thread(target=tell, args=(notifier, stopped.wait), name="notifier", daemon=True)
    telling.start()
    follow(controller(settings, products, database), stopped.wait)
    telling.join(TELLING_SECONDS)


if __name__ == "__main__":
    main()
