"""The overview routes: products by their parts, one product with its assets and runs, the platform at a glance.

Add a route here. A route reads, judges and answers. Keep out statements (`reads`) and judgements (`judging`). Routes
are plain `def`: the database is read in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from mlops_assets.api.auth import Viewer
from mlops_assets.api.drift import records as drift_records
from mlops_assets.api.health.live import LiveHealth
from mlops_assets.api.overview import reads
from mlops_assets.api.overview.judging import (
    data_part,
    drift_part,
    rollout_part,
    scores_part,
    serving_part,
    training_part,
    worst,
)
from mlops_assets.api.overview.schemas import (
    AssetView,
    CheckView,
    Overview,
    Part,
    PipelinesView,
    ProductDetail,
    Products,
    ProductView,
    ReportedView,
    RunsView,
    RunView,
    State,
)
from mlops_assets.api.problems import answers
from mlops_assets.api.scores import records as scores_records
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, ScoredMonth
from mlops_assets.training.spec import Product

# The assets whose checks say something of the data, and of the model.
DATA, MODEL = "dataset", "metrics"
Name = Annotated[str, Path(max_length=100, description="A product's name")]


def overview_routes(
    settings: Settings, database: Database, ledger: Ledger, products: Sequence[Product], live: LiveHealth
) -> APIRouter:
    """`/api/v1/overview` and everything below `/api/v1/products`."""
    router = APIRouter(prefix="/api/v1", tags=["overview"], dependencies=[Viewer], responses=answers(401, 429, 503))
    glance = Glance(database, ledger)
    known = {product.name: product for product in products}

    @router.get("/overview")
    def read_overview() -> Overview:
        """Every product and the platform, each part with a judgement."""
        now = datetime.now(UTC)
        views = glance.products(products, now)
        with database.engine.connect() as on:
            runs = RunsView(hours=reads.HOURS, **reads.run_counts(on, now))
            pipelines = PipelinesView(**reads.pipeline_counts(on))
        seen = live()
        report = None
        if seen.report is not None:
            issues = [str(issue.name) for issue in seen.report.issues]
            report = ReportedView(status=seen.report.status, made_at=seen.report.made_at, issues=issues)
        platform = State.WARN if seen.issues or (report and report.issues) or pipelines.broken else State.GOOD
        state = worst([platform, *(view.state for view in views)])
        return Overview(state=state, runs=runs, pipelines=pipelines, health=report, products=views)

    @router.get("/products")
    def list_products() -> Products:
        """Every declared product, part by part."""
        return Products(products=glance.products(products, datetime.now(UTC)))

    @router.get("/products/{product}", responses=answers(404, 422))
    def read_product(product: Name) -> ProductDetail:
        """One product with its assets, their checks, and the newest runs of its jobs."""
        declared = known.get(product)
        if declared is None:
            raise HTTPException(404, f"no product {product!r}; there are: {', '.join(known) or 'none'}")
        (view,) = glance.products([declared], datetime.now(UTC))
        with database.engine.connect() as on:
            made = reads.assets(on, product)
            checks = reads.checks(on, product, [asset.key for asset in made])
            runs = reads.runs(on, product)
        return ProductDetail(
            **view.model_dump(),
            assets=[_asset(asset, product, checks, settings.dagster_url) for asset in made],
            runs=[_run(run, settings.dagster_url) for run in runs],
            dagster_url=f"{settings.dagster_url}/asset-groups/{product}",
            mlflow_url=settings.mlflow_url,
        )

    return router


class Glance:
    """Reads products and judges them."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger

    def products(self, products: Sequence[Product], now: datetime) -> list[ProductView]:
        """Each at a glance. Raises SQLAlchemyError."""
        scored = {month.product: month for month, _ in scores_records.newest(self._database)}
        with self._database.engine.connect() as on:
            return [self._product(on, product, scored, now) for product in products]

    def _product(
        self, on: Connection, product: Product, scored: Mapping[str, ScoredMonth], now: datetime
    ) -> ProductView:
        name, serving = product.name, product.serving
        checks = reads.checks(on, name, (DATA, MODEL))
        of_data = [check for check in checks if check.asset == DATA]
        late = [asset.key for asset in reads.assets(on, name) if asset.fresh is False]
        parts = [
            data_part(reads.data(on, name), of_data, late),
            training_part(reads.runs(on, name, ("train",), 1), [check for check in checks if check.asset == MODEL]),
        ]
        if serving is not None:
            state = self._ledger.state(name)
            seen = reads.answers(on, name, serving.objectives.latency_ms, now)
            parts += [serving_part(name, seen, serving.objectives, state.production), rollout_part(state)]
            parts.append(self._drift(name))
        month = scored.get(name)
        if month is not None:
            parts.append(scores_part(f"{month.month:%Y-%m}", month.records, month.anomalies, month.scored_at))
        return ProductView(
            product=name,
            title=product.title,
            owner=product.owner,
            task=product.task,
            served=serving is not None,
            state=worst(part.state for part in parts),
            parts=parts,
        )

    def _drift(self, product: str) -> Part:
        days = drift_records.newest(self._database, product, 1)
        if not days:
            return drift_part(product, None, "", (), None)
        (day,) = days
        return drift_part(product, day.day.isoformat(), day.status, day.drifted, day.computed_at)


def _asset(asset: reads.Asset, product: str, checks: Sequence[reads.Check], dagster_url: str) -> AssetView:
    return AssetView(
        key=asset.key,
        made_at=asset.made_at,
        run_id=asset.run_id,
        run_url=f"{dagster_url}/runs/{asset.run_id}" if asset.run_id else None,
        fresh=asset.fresh,
        url=f"{dagster_url}/assets/{product}/{asset.key}",
        checks=[
            CheckView(name=check.name, passed=check.passed, blocking=check.blocking, at=check.at)
            for check in checks
            if check.asset == asset.key
        ],
    )


def _run(run: reads.Run, dagster_url: str) -> RunView:
    return RunView(
        run_id=run.run_id,
        job=run.job,
        status=run.status,
        created_at=run.created_at,
        seconds=run.seconds,
        url=f"{dagster_url}/runs/{run.run_id}",
    )
