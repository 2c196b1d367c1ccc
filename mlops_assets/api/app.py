"""The control API: for operators and their scripts, on the loopback interface.

Add a router here. Keep out everything else: routes are in files named after what they are about, errors in
`problems`, who may ask in `auth`, what holds for every request in `edge`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI

from mlops_assets.access.known import KnownTokens
from mlops_assets.access.rate_limit import RateLimit
from mlops_assets.api import session
from mlops_assets.api.audit import audit_routes
from mlops_assets.api.auth import Authority
from mlops_assets.api.drift import drift_routes
from mlops_assets.api.drift_reports import ReportPolicy, report_routes
from mlops_assets.api.edge import Edge
from mlops_assets.api.health import health_routes, orchestrator_issues
from mlops_assets.api.pages import add_pages
from mlops_assets.api.pipelines.routes import parts_of, routers
from mlops_assets.api.problems import add_problem_handlers
from mlops_assets.api.rollouts import Subject, rollout_routes
from mlops_assets.api.scores import score_routes
from mlops_assets.api.scores_files import score_file_routes
from mlops_assets.drift.daily import Watched
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage


def create_app(
    settings: Settings,
    database: Database,
    *,
    token: str,
    subjects: Sequence[Subject] | None = None,
    ledger: Ledger | None = None,
    watched: Sequence[Watched] | None = None,
) -> FastAPI:
    """The application. `subjects` are the products it shows, by default every declared one that is served.

    `watched` is the same for the drift pages; without it, each of `subjects` with the default policy.
    """
    app = FastAPI(
        title="mlops control API",
        version="1",
        description=f"Rollouts, drift, scores and declared pipelines at {settings.host}:{settings.ports.api}.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.authority = Authority(token, issued=KnownTokens(database))
    app.state.rate_limit = RateLimit(settings.api_requests_per_second, settings.api_burst)
    shown = declared_subjects() if subjects is None else subjects
    if watched is None:
        watched = declared_watched() if subjects is None else [_unwatched(subject) for subject in subjects]
    products = {product.name: product for product in watched}
    ledger = ledger or Ledger(database)
    parts = parts_of(settings, database, frozenset(subject.name for subject in shown))
    app.state.parts = parts
    app.include_router(health_routes(database, orchestrator_issues(settings, parts.instance)))
    app.include_router(session.router)
    app.include_router(rollout_routes({s.name: s for s in shown}, ledger))
    app.include_router(drift_routes(products, ledger, settings.dagster_url))
    storage = Storage(settings.storage)
    app.include_router(report_routes(products, ledger, storage))
    app.include_router(score_routes(database, settings.dagster_url))
    app.include_router(score_file_routes(database, storage))
    app.include_router(audit_routes(database))
    for router in routers(parts):
        app.include_router(router)
    add_pages(app)
    add_problem_handlers(app)
    app.add_middleware(Edge)
    app.add_middleware(ReportPolicy)
    return app


def declared_subjects() -> list[Subject]:
    """Every declared product that is served, with the metrics of its gates. Raises DeclarationError."""
    from mlops_assets.training.catalogue import declared_products

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
    from mlops_assets.training.catalogue import declared_products

    return [monitoring.watched(product) for product in declared_products() if product.serving is not None]
