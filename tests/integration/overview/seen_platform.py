"""A platform with two products of which one does well and one doesn't, in real tables of Dagster and our own.

Add here what tests of the overview, and of all pages, show. Keep out what is asserted of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import httpx
from dagster import DagsterInstance
from sqlalchemy import text

from mlops_assets.api.app import create_app
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion
from mlops_assets.training.catalogue import declared_products
from tests.integration.runs_api import dagster_on
from tests.integration.serving_thread import served
from tests.made_verdicts import LAST, keep, number, verdict
from tests.scored_months import month, put

TOKEN = "operators-token-of-a-test"
HOUSES, ACCIDENTS = "house_prices", "traffic_anomalies"
ANSWERS = """
INSERT INTO mlops.prediction (id, product, at, variant, version, features, output, latency_ms, sample, batch)
SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n), 12, '0') || '70008'
    || lpad(to_hex(n), 15, '0'))::uuid,
  :product, now() - n * interval '1 millisecond', 'production', 1, '{}', '{"estimate": 1}', :ms, false, 1
FROM generate_series(1, :count) AS n
"""
FAILED = """
INSERT INTO mlops.request_failure (request_id, at, product, status, batch)
SELECT 'f' || n, now(), :product, :status, 1 FROM generate_series(1, :count) AS n
"""
DOWN = """
INSERT INTO mlops.service_probe (name, healthy, failures, successes, down_since, asked_at)
VALUES (:name, false, 9, 0, now() - interval '90 seconds', now())
"""


@dataclass(frozen=True)
class Seen:
    """The tables, and what puts something into them."""

    database: Database
    instance: DagsterInstance
    settings: Settings

    def train(self, product: str, *, fails: bool = False, broken: str = "", missed: str = "") -> None:
        """A real run of a job with the product's first and last stage; `broken` and `missed` are failing checks."""

        @dg.asset(key=[product, "dataset"], check_specs=[_spec(product, "dataset", broken or "rows_contract")])
        def dataset() -> dg.MaterializeResult:
            return dg.MaterializeResult(check_results=[_result(broken or "rows_contract", passed=not broken)])

        @dg.asset(
            key=[product, "metrics"], deps=[dataset], check_specs=[_spec(product, "metrics", missed or "mae_gate")]
        )
        def metrics() -> dg.MaterializeResult:
            if fails:
                raise RuntimeError("made to fail")
            return dg.MaterializeResult(check_results=[_result(missed or "mae_gate", passed=not missed)])

        job = dg.define_asset_job(f"{product}_train", selection=[dataset, metrics])
        definitions = dg.Definitions(assets=[dataset, metrics], jobs=[job])
        resolved = definitions.resolve_job_def(job.name)
        # In a thread of its own: the browser's driver has an event loop in this one, and there can be no second one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(resolved.execute_in_process, instance=self.instance, raise_on_error=False).result(60)

    def data(self, product: str, version: int = 1, rows: int = 13_320, *, sample: bool = False) -> None:
        """A distinct content of the product's source."""
        kept = DatasetVersion(
            product=product, version=version, sha256=f"{version:064d}", rows=rows, uri="u", source="s", sample=sample
        )
        with self.database.session() as session, session.begin():
            session.add(kept)

    def release(self, product: str, version: int = 1) -> None:
        """A published release: the first is production, the next a candidate."""
        ledger = Ledger(self.database)
        ledger.reserve(product, f"run-{version}", 1)
        ledger.publish(product, version, f"/releases/{version}", {"metrics": {"mae": 12.0}}, actor="training")

    def answers(self, product: str, count: int, *, ms: float = 5, failed: int = 0, status: int = 503) -> None:
        """Answers of the last minute, and failures."""
        self.execute(ANSWERS, product=product, count=count, ms=ms)
        self.execute(FAILED, product=product, count=failed, status=status)

    def down(self, service: str) -> None:
        """A service that hasn't answered for 90 s."""
        self.execute(DOWN, name=service)

    def execute(self, statement: str, **values: object) -> None:
        """One statement, committed."""
        with self.database.engine.begin() as connection:
            connection.execute(text(statement), values)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """The API, and a client of it with the operators' token."""
        with self.served() as url:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            with httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=20) as client:
                yield client

    @contextmanager
    def served(self) -> Iterator[str]:
        """The whole application with the declared products; its address."""
        products = declared_products()
        app = create_app(self.settings, self.database, token=TOKEN, subjects=[], products=products)
        with served(app) as url:
            yield url


def _spec(product: str, asset: str, name: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=[product, asset])


def _result(name: str, *, passed: bool) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=name, passed=passed, severity=dg.AssetCheckSeverity.ERROR)


def fill(seen: Seen) -> None:
    """House prices are served, drifted and missed a gate; accidents are well and scored."""
    seen.data(HOUSES, sample=True)
    seen.train(HOUSES, missed="median_ape_gate")
    seen.release(HOUSES)
    seen.answers(HOUSES, 1200, failed=1)
    seen.release(HOUSES, 2)
    keep(seen.database, verdict(LAST, number("total_sqft", 1200, 400, effect=0.5), product=HOUSES, release=1))
    seen.data(ACCIDENTS, rows=209_306)
    seen.train(ACCIDENTS)
    seen.release(ACCIDENTS)
    put(seen.database, month("2026-10", 1423, 21, product=ACCIDENTS))


@contextmanager
def overlooked(database: Database, home: Path) -> Iterator[str]:
    """The address of a console over all that, with tables of Dagster that are made for it."""
    url = database.engine.url.render_as_string(hide_password=False)
    with dagster_on(url, home / "dagster") as instance:
        seen = Seen(database, instance, Settings(home=home))
        fill(seen)
        with seen.served() as console:
            yield console
