"""Two real gateways before a real service that follows a real ledger: one tells a collector, one does not.

Add here what more than one file of tests of traces needs. Keep out assertions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from inference.shipping import Shipper
from mlops_assets.observability.trace.facts import AnswerTrace
from mlops_assets.observability.trace.tracer import Tracer
from mlops_assets.rollout import gateway
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database, DatasetVersion
from mlops_assets.storage.files import Storage
from tests.integration.gateway_rig import ENVOY, PLAIN
from tests.integration.service_process import eventually, serving
from tests.integration.shipped_log import shipper_on
from tests.servers import free_port, process, wait_until
from tests.unit.inference.tiny_release import HOME, MODULE, PRODUCT, write_release

KEY = "ab" * 32
ROUTE = "/api/predict_price"
SHA = "ab" * 32


@dataclass
class World:
    """What runs; `traced` tells the collector of every request, `plain` of none."""

    settings: Settings
    database: Database
    shipper: Shipper
    service: str
    traced: str
    plain: str
    traced_log: Path

    def ask(self, url: str, *headers: tuple[str, str], path: str = ROUTE, body: Any = HOME) -> httpx.Response:
        """One prediction on a connection of its own, as the user `ann`."""
        return httpx.post(f"{url}{path}", json=body, headers=[("x-user-id", "ann"), *headers], timeout=20, **PLAIN)

    def logged(self, prediction_id: str) -> AnswerTrace:
        """The trace of an answer, once it is shipped."""
        found: list[AnswerTrace] = []

        def there() -> bool:
            self.shipper.step()
            try:
                found.append(self.trace(prediction_id))
            except RuntimeError:
                return False
            return True

        wait_until(there, 15, lambda: f"{prediction_id} is not in the log")
        return found[0]

    def trace(self, prediction_id: str) -> AnswerTrace:
        return self.tracer().trace(prediction_id)

    def tracer(self) -> Tracer:
        return Tracer(self.database, Storage(self.settings.storage), self.settings.secrets)


def publish(database: Database, folder: Path, version: int, **more: Any) -> None:
    """A released tiny model, by the real ledger."""
    ledger = Ledger(database)
    with database.session() as session, session.begin():
        if session.get(DatasetVersion, (PRODUCT, 4)) is None:
            session.add(
                DatasetVersion(
                    product=PRODUCT, version=4, sha256=SHA, rows=1234, uri="somewhere", source="homes.csv", sample=True
                )
            )
    assert ledger.reserve(PRODUCT, f"model-{version}", 4) == version
    manifest = {
        "format": 1, "product": PRODUCT, "version": version, "bento": f"{PRODUCT}:v{version}", "code_version": "c0de",
        "dataset": {"version": 4, "sha256": SHA, "rows": 1234, "sample": True}, "mlflow_version": str(10 + version),
        "runs": {"dagster": f"dagster-{version}", "mlflow": f"mlflow-{version}"}, "metrics": {"mae": 1.5},
        "files": {"model.onnx": {"sha256": "cd" * 32, "bytes": 9}},
    } | more  # fmt: skip
    uri = str(write_release(folder / "published" / str(version), version, factor=version / 10))
    ledger.publish(PRODUCT, version, uri, manifest, "training")


@contextmanager
def a_gateway(folder: Path, service: int, tracing: gateway.Tracing | None, **more: Any) -> Iterator[str]:
    """A running gateway before a service that plays both roles; its URL."""
    folder.mkdir(parents=True)
    port, metrics = free_port(), free_port()
    upstreams = [gateway.Upstream(PRODUCT, 0, (ROUTE, f"{ROUTE}/batch"), service, service)]
    config = gateway.bootstrap(
        upstreams, host="127.0.0.1", port=port, metrics_port=metrics, admin_socket=folder / "a.sock",
        routes_file=folder / "routes.json", failures_log=folder / "failures.log", tracing=tracing, **more,
    )  # fmt: skip
    gateway.write(folder / "routes.json", gateway.routes(upstreams, {}, operator_token="t" * 43))
    gateway.write(folder / "envoy.json", config)

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{metrics}/stats/prometheus", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    with process(gateway.command(ENVOY, folder / "envoy.json"), folder / "gateway.log", ready):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running_world(folder: Path, database: Database, url: str, collector: str) -> Iterator[World]:
    """All of it, with release 1 as production."""
    settings = Settings(home=folder / "home")
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "key").write_text(KEY)
    publish(database, folder, 1)
    with ExitStack() as stack:
        service = stack.enter_context(
            serving(
                folder / "service", product=PRODUCT, module=MODULE, route="predict_price", answer="price",
                database_url=url, cache_dir=str(folder / "cache"), key_file=str(settings.secrets / "key"),
                journal_dir=str(settings.journal), otlp_endpoint=collector,
            )
        )  # fmt: skip
        service.serves(1)
        port = int(service.url.rpartition(":")[2])
        every = gateway.Tracing(collector, share=1.0)
        traced = stack.enter_context(a_gateway(folder / "traced", port, every, every_request=True))
        plain = stack.enter_context(a_gateway(folder / "plain", port, None))
        shipper = stack.enter_context(shipper_on(url, settings.journal))
        world = World(settings, database, shipper, service.url, traced, plain, folder / "traced" / "gateway.log")
        for one in (traced, plain):
            eventually(lambda one=one: world.ask(one).status_code == 200, f"{one} answers")
        yield world
