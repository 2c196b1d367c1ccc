"""The gateway's files of an installation: its configuration from the products, its first routes from the ledger.

Keep out what the files say (`rollout.gateway`) and keeping the routes up to date (`rollout.routing`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from mlops_assets.installation.secret_files import inner_token, operator_token
from mlops_assets.rollout import gateway
from mlops_assets.rollout.gateway import Upstream
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.routing import Online, Router
from mlops_assets.settings import Settings, SettingsError
from mlops_assets.storage.database import Database
from mlops_assets.training.spec import Product


class RoutesError(RuntimeError):
    """A gateway can't be told where to send anybody; the message says why, without the password."""


def online_products(settings: Settings, products: list[Product]) -> list[Online]:
    """The products that are served over HTTP, with where their services are, by slot."""
    found = []
    for product in products:
        serving = product.serving
        if serving is None:
            continue
        own = (f"/api/{serving.route}", f"/api/{serving.route}/batch")
        where = Upstream(
            product=product.name,
            slot=serving.slot,
            paths=own + tuple(f"/api/{vocabulary.route}" for vocabulary in serving.vocabularies),
            production_port=settings.ports.production(serving.slot),
            candidate_port=settings.ports.candidate(serving.slot),
            addresses=settings.places("serving"),
        )
        found.append(Online(product.name, product.rollout, where))
    return sorted(found, key=lambda online: online.upstream.slot)


def routes_file(settings: Settings) -> Path:
    """What the gateway reads again whenever it is replaced."""
    return settings.gateway / "routes.json"


def configure(settings: Settings, products: list[Product]) -> str:
    """Write the gateway's configuration; its digest."""
    path = settings.gateway / "envoy.json"
    settings.gateway.mkdir(parents=True, exist_ok=True)
    config = gateway.bootstrap(
        [online.upstream for online in online_products(settings, products)],
        host=settings.listen,
        port=settings.ports.gateway,
        metrics_port=settings.ports.gateway_metrics,
        admin_socket=settings.gateway_admin,
        routes_file=routes_file(settings),
        failures_log=settings.gateway / "failures.log",
        limits=gateway.Limits(),
        tracing=tracing_of(settings),
        door=gateway.Door(
            host=settings.listen,
            port=settings.ports.api,
            behind=settings.places("orchestrator")[0],
            api_port=settings.ports.api_server,
            dagster_port=settings.ports.dagster,
            mlflow_port=settings.ports.mlflow,
            inner_token=inner_token(settings.secrets),
        ),
    )
    gateway.write(path, config)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tracing_of(settings: Settings) -> gateway.Tracing | None:
    """Where the gateway sends traces; None without a collector. Raises SettingsError."""
    endpoint = settings.otlp_endpoint
    try:
        return None if endpoint is None else gateway.Tracing(str(endpoint), settings.otlp_share)
    except ValueError as error:
        raise SettingsError(f"MLOPS_OTLP_ENDPOINT: {error}") from None


def router(settings: Settings, products: list[Product], database: Database) -> Router:
    """What keeps the gateway's routes as the ledger has them."""
    token = operator_token(settings.secrets)
    return Router(Ledger(database), online_products(settings, products), routes_file(settings), operator_token=token)


def write_first_routes(settings: Settings, products: list[Product]) -> None:
    """Write the routes that the ledger asks for now, so that the gateway starts with them.

    A gateway with a host of its own starts with those of its last life when the database is down.
    """
    database = Database.connect(settings.serving_database)
    try:
        router(settings, products, database).step()
    except SQLAlchemyError as error:
        if settings.runs("orchestrator") or not routes_file(settings).exists():
            words = str(getattr(error, "orig", error)).strip().partition("\n")[0]
            raise RoutesError(f"the gateway's first routes can't be read from the ledger: {words}") from None
    finally:
        database.dispose()
