"""The control API: for operators and their scripts, on the loopback interface.

Add a router here. Keep out everything else: routes are in files named after what they are about, errors in `problems`,
who may ask in `auth`, what holds for every request in `edge`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from mlops_assets.access.known import KnownTokens
from mlops_assets.access.rate_limit import RateLimit
from mlops_assets.api.alerts import alert_routes
from mlops_assets.api.audit import audit_routes
from mlops_assets.api.auth import Authority
from mlops_assets.api.door import add_door
from mlops_assets.api.drift.reports import ReportPolicy, report_routes
from mlops_assets.api.drift.routes import drift_routes
from mlops_assets.api.edge import Edge
from mlops_assets.api.health.live import LiveHealth
from mlops_assets.api.health.report import health_report_routes
from mlops_assets.api.health.routes import health_routes, orchestrator_issues
from mlops_assets.api.overview.routes import overview_routes
from mlops_assets.api.pages import add_pages
from mlops_assets.api.pipelines.routes import parts_of, routers
from mlops_assets.api.problems import add_problem_handlers
from mlops_assets.api.rollouts.routes import Subject, rollout_routes
from mlops_assets.api.scores.files import score_file_routes
from mlops_assets.api.scores.routes import score_routes
from mlops_assets.api.session import session_routes
from mlops_assets.api.sign_in import sign_in_routes, way_of
from mlops_assets.api.trace import trace_routes
from mlops_assets.api.usage.routes import usage_routes
from mlops_assets.drift.daily import Watched
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.observability.health.policy import declared_policy
from mlops_assets.observability.trace.tracer import Tracer
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product


def create_app(
    settings: Settings,
    database: Database,
    *,
    token: str,
    subjects: Sequence[Subject] | None = None,
    ledger: Ledger | None = None,
    watched: Sequence[Watched] | None = None,
    products: Sequence[Product] | None = None,
) -> FastAPI:
    """The application. `subjects` are the products it shows, by default every declared one that is served.

    `watched` is the same for the drift pages; without it, each of `subjects` with the default policy. `products` are
    those of the overview, by default every declared one, or none beside `subjects` of the caller's own.
    """
    app = FastAPI(
        title="mlops control API",
        version="1",
        description=f"Rollouts, drift, scores and declared pipelines at {settings.host}:{settings.ports.api}.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    way = way_of(settings)
    secure = settings.public_api_url is not None and settings.public_api_url.scheme == "https"
    app.state.authority = Authority(token, issued=KnownTokens(database), provider=way.mark if way else None)
    app.state.rate_limit = RateLimit(settings.api_requests_per_second, settings.api_burst)
    shown = declared_subjects() if subjects is None else subjects
    if watched is None:
        watched = declared_watched() if subjects is None else [_unwatched(subject) for subject in subjects]
    if products is None:
        products = declared_products() if subjects is None else []
    compared = {product.name: product for product in watched}
    ledger = ledger or Ledger(database)
    parts = parts_of(settings, database, frozenset(subject.name for subject in shown))
    app.state.parts = parts
    app.state.inner_token = settings.inner_token
    health = declared_policy()
    live = LiveHealth(settings, database, health)
    app.include_router(health_routes(database, orchestrator_issues(settings, parts.instance), live))
    app.include_router(health_report_routes(database, health))
    app.include_router(session_routes(secure))
    app.include_router(sign_in_routes(database, way, secure))
    app.include_router(overview_routes(settings, database, ledger, products, live))
    app.include_router(rollout_routes({s.name: s for s in shown}, ledger))
    app.include_router(drift_routes(compared, ledger, settings.dagster_url))
    storage = Storage(settings.storage)
    app.include_router(report_routes(compared, ledger, storage))
    app.include_router(score_routes(database, settings.dagster_url))
    app.include_router(score_file_routes(database, storage))
    app.include_router(usage_routes(settings, database))
    app.include_router(alert_routes(settings, database))
    app.include_router(audit_routes(database))
    app.include_router(trace_routes(Tracer(database, storage, settings.secrets), database, settings))
    for router in routers(parts):
        app.include_router(router)
    add_pages(app, way.link if way else None)
    add_door(app, settings, database)
    add_problem_handlers(app)
    app.add_middleware(Edge)
    app.add_middleware(ReportPolicy)
    return app


def declared_subjects() -> list[Subject]:
    """Every declared product that is served, with the metrics of its gates. Raises DeclarationError."""
    return [
        Subject(
            name=product.name,
            title=product.title,
            policy=product.rollout,
            headline=tuple(dict.fromkeys(gate.metric for gate in product.gates if gate.segment is None)),
        )
        for product in declared_products()
        if product.serving is not None
    ]


def _unwatched(subject: Subject) -> Watched:
    """A product whose columns nobody declared, for the drift pages."""
    return Watched(subject.name, subject.title, owner="", policy=DriftPolicy(), monitored=tuple)


def declared_watched() -> list[Watched]:
    """The same products for the drift pages, with their drift policies. Raises DeclarationError."""
    from mlops_assets.training import monitoring

    return [monitoring.watched(product) for product in declared_products() if product.serving is not None]
