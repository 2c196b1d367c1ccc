"""The process that makes the world agree with the ledger and tells people: `… run_controller`.

Composition only: settings, products and ledger given to the controller of `rollout` and, in a thread of its own, to
the notifier.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator

from mlops_assets.installation.gateway_files import online_products, routes_file
from mlops_assets.installation.programs import Program, all_programs
from mlops_assets.installation.secret_files import operator_token
from mlops_assets.notifications.notifier import Notifier
from mlops_assets.notifications.notifier import follow as tell
from mlops_assets.notifications.probes import Probe
from mlops_assets.rollout.controller import Controller
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.registry import Registry
from mlops_assets.rollout.routing import follow
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
        # Where the gateway has a host of its own, `run_routes` does this there.
        routes_file(settings) if settings.runs("gateway") else None,
        operator_token=operator_token(settings.secrets),
        registry=Registry(settings.mlflow_server_url, headers=settings.inner_headers()),
    )


def probes(settings: Settings, products: list[Product]) -> list[Probe]:
    """What people are told of when it stops answering: every program that has an address."""
    programs = all_programs(settings, products)
    return [probe for program in programs if program.port is not None for probe in _probes(settings, program)]


def _probes(settings: Settings, program: Program) -> Iterator[Probe]:
    places = settings.places(program.parts[0]) if program.shared else (settings.host,)
    for place in places:
        at = f"{place}:{program.port}"
        address = f"http://{at}{program.ready_path}" if program.ready_path else f"tcp://{at}"
        if len(places) == 1:
            yield Probe(program.name, program.title, address)
        else:
            yield Probe(f"{program.name}@{place}", f"{program.title} on {place}", address)


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
    follow(controller(settings, products, database).step, stopped.wait)
    telling.join(TELLING_SECONDS)


if __name__ == "__main__":
    main()
