"""A small installation that is looked at: database, Dagster's tables, a service behind a gateway, supervisord, the
exporter, Prometheus with the project's own rules, Alertmanager.

Only Dagster's webserver is a stand-in. Keep out what is tested.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from sqlalchemy import create_engine, text

from mlops_assets.installation import monitoring, monitoring_files
from mlops_assets.installation.programs import monitoring_programs
from mlops_assets.installation.up import prepare_home
from mlops_assets.rollout import gateway
from mlops_assets.rollout.facts import Decision
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products
from tests.e2e.installation import free_offset
from tests.integration.alerts.chain import running_program
from tests.integration.dashboards.dagster_run import run_once
from tests.integration.dashboards.installation_rows import before, more, more_ticks
from tests.integration.dashboards.stand_ins import Webserver, candidate, listening, predicted, telling
from tests.integration.exporter.made_rows import Rows, dagster_instance, in_schema
from tests.integration.gateway_rig import ENVOY, PLAIN
from tests.integration.looked_rollout import POLICY, evidence
from tests.integration.platform_tables import own_database
from tests.integration.service_process import Service, eventually, serving
from tests.integration.shipped_log import shipper_on
from tests.integration.trace.world import KEY, publish
from tests.servers import process
from tests.unit.inference.tiny_release import HOME, MODULE, PRODUCT

ROUTE = "/api/predict_price"
QUIET = "quiet_homes"  # a product that nobody asks
XX = 'envoy_cluster_upstream_rq_xx{side="users", product="tiny_homes", envoy_response_code_class="2"}'
READER = PROJECT / "deploy" / "grafana" / "reader.sql"
MLFLOW = ("experiments", "runs", "tags", "params", "latest_metrics")
SUPERVISORD = """[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile={run}/supervisord.pid
[unix_http_server]
file={run}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:sleeper]
command=sleep 600
startsecs=0
"""


@dataclass
class World:
    """What runs. `began` in seconds since 1970."""

    settings: Settings
    database: Database
    began: float

    def ask(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers; its own words if it refuses."""
        answer = httpx.post(f"{self.settings.prometheus_url}/api/v1/{path}", data=parameters, timeout=20, **PLAIN)
        told = answer.json()
        assert told["status"] == "success", f"{parameters}: {told.get('error')}"
        assert not told.get("warnings"), told["warnings"]
        return told["data"]

    def values(self, label: str, series: str) -> list[str]:
        """What a dashboard's variable offers."""
        url = f"{self.settings.prometheus_url}/api/v1/label/{label}/values"
        answer = httpx.get(url, params={"match[]": series}, timeout=20, **PLAIN).raise_for_status()
        return list(answer.json()["data"])


def with_mlflow(url: str) -> str:
    """The URL of the same database, with an empty schema of MLflow's, and one for Dagster's tables."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA mlflow; CREATE SCHEMA dagster"))
        for table in MLFLOW:
            connection.execute(text(f"CREATE TABLE mlflow.{table} ()"))
    engine.dispose()
    return url


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, **PLAIN).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def running_gateway(settings: Settings, service: int) -> Iterator[None]:
    """A gateway whose two products share one service, which plays both roles."""
    folder, ports = settings.home / "gateway", settings.ports
    folder.mkdir(exist_ok=True)
    upstreams = [
        gateway.Upstream(PRODUCT, 0, (ROUTE, f"{ROUTE}/batch"), service, service),
        gateway.Upstream(QUIET, 1, ("/api/quiet",), service, service),
    ]
    config = gateway.bootstrap(
        upstreams, host="127.0.0.1", port=ports.gateway, metrics_port=ports.gateway_metrics,
        admin_socket=folder / "a.sock", routes_file=folder / "routes.json", failures_log=folder / "failures.log",
    )  # fmt: skip
    gateway.write(folder / "routes.json", gateway.routes(upstreams, {}, operator_token="t" * 43))
    gateway.write(folder / "envoy.json", config)
    url = f"http://127.0.0.1:{ports.gateway_metrics}/stats/prometheus"
    with process(gateway.command(ENVOY, folder / "envoy.json"), settings.logs / "gateway.log", lambda: answers(url)):
        yield


def traffic(settings: Settings) -> None:
    """Predictions, a batch, a mistake, feedback."""
    with httpx.Client(base_url=f"http://127.0.0.1:{settings.ports.gateway}", timeout=20, **PLAIN) as users:
        for n in range(12):
            answer = users.post(ROUTE, json=HOME, headers={"x-user-id": f"user-{n}"})
            assert answer.status_code == 200, answer.text
            told = {"prediction_id": answer.json()["prediction_id"], "feedback_type": "rating", "feedback_value": 4}
            given = users.post(f"/{PRODUCT}/api/feedback", json=told, headers={"x-user-id": f"user-{n}"})
            assert given.status_code == 200, given.text
        batch = users.post(f"{ROUTE}/batch", json={"records": [HOME, HOME]})
        assert batch.status_code == 200, batch.text
        assert users.post(ROUTE, json={"area": "much"}).status_code == 422


def configure(settings: Settings, services: Mapping[str, int]) -> None:
    """The files of an installation, for what runs here; every second instead of every 15, and all rules at once."""
    prepare_home(settings)
    monitoring.choose(settings, True)
    served = next(product for product in declared_products() if product.serving is not None)
    products = [served.model_copy(update={"name": name}) for name in (PRODUCT, QUIET)]
    monitoring_files.configure(settings, products)
    folder = settings.home / "rules"
    folder.mkdir()
    for path in monitoring.RULES.glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
        (folder / path.name).write_text(yaml.safe_dump(rules))
    path = monitoring.prometheus_file(settings)
    config = yaml.safe_load(path.read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    config["rule_files"] = [str(folder / "*.yml"), *config["rule_files"][1:]]
    for job in config["scrape_configs"]:
        if job["job_name"] == "services":
            for target in job["static_configs"]:
                target["targets"] = [f"127.0.0.1:{services[target['labels']['variant']]}"]
    path.write_text(yaml.safe_dump(config))


def compare(database: Database) -> None:
    """A rollout of release 2, with one look."""
    ledger = Ledger(database)
    ledger.begin(PRODUCT, POLICY.steps, actor="platform", reason="release 2 is loaded beside production")
    look(database, 1)


def look(database: Database, number: int) -> None:
    """One more look at it."""
    ledger = Ledger(database)
    seq, decision = ledger.state(PRODUCT).seq, Decision("continue", ("few raters",))
    ledger.look(PRODUCT, decision, evidence(number), POLICY, actor="platform", expected_seq=seq)


def serve(settings: Settings, url: str, stack: ExitStack) -> Service:
    (settings.secrets / "key").write_text(KEY)
    service = stack.enter_context(
        serving(
            settings.home / "service", product=PRODUCT, module=MODULE, route="predict_price", answer="price",
            database_url=url, cache_dir=str(settings.home / "cache"), key_file=str(settings.secrets / "key"),
            journal_dir=str(settings.journal),
        )
    )  # fmt: skip
    service.serves(1)
    return service


@contextmanager
def running_world(postgres_url: str) -> Iterator[World]:
    """All of it, from the first row to the last traffic."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boards-")))
        url = with_mlflow(own_database(postgres_url, "dashboards"))
        settings = Settings(
            home=home, port_offset=free_offset(home), database_url=url, cpu_hour_price=1.0, gb_hour_price=1.0
        )
        for folder in (settings.secrets, settings.logs, settings.run_dir, home / "dagster"):
            folder.mkdir(parents=True, exist_ok=True)
        database = Database.connect(url)
        stack.callback(database.dispose)
        database.migrate()
        instance = stack.enter_context(dagster_instance(in_schema(url, "dagster"), home / "dagster"))
        rows = Rows(database)
        for version in (1, 2):
            publish(database, home, version)
        service = int(serve(settings, url, stack).url.rpartition(":")[2])
        compare(database)
        run_once(instance)
        before(rows, PRODUCT)
        (settings.logs / "pipelines.log").write_text("2026-01-01 INFO 12 assets loaded in 1.25 s\n")
        (settings.run_dir / "supervisord.conf").write_text(SUPERVISORD.format(run=settings.run_dir))
        other = candidate(PRODUCT, home)
        services = {"production": service, "candidate": stack.enter_context(listening(0, telling(other)))}
        configure(settings, services)
        stack.enter_context(listening(settings.ports.dagster, Webserver))
        stack.enter_context(running_gateway(settings, service))
        shipper = stack.enter_context(shipper_on(url, settings.journal))
        command = [str(Path(sys.executable).parent / "supervisord"), "-c", str(settings.run_dir / "supervisord.conf")]
        socket = settings.run_dir / "supervisor.sock"
        stack.enter_context(process(command, settings.logs / "supervisord.log", socket.exists))
        # Ratings are looked at once a minute: they must be there before.
        eventually(lambda: _asked(settings), "the gateway answers")
        traffic(settings)
        shipper.step()
        shipper.write_status(now=True)
        variables = {
            "MLOPS_HOME": str(home), "MLOPS_PORT_OFFSET": str(settings.port_offset), "MLOPS_DATABASE_URL": url,
            "MLOPS_CPU_HOUR_PRICE": "1", "MLOPS_GB_HOUR_PRICE": "1",
        }  # fmt: skip
        exporter = [sys.executable, "-m", "mlops_assets.observability.exporter"]
        ready = f"{settings.metrics_url}/metrics"
        stack.enter_context(process(exporter, settings.logs / "metrics.log", lambda: answers(ready), variables))
        began = time.time()
        for program in monitoring_programs(settings):
            stack.enter_context(running_program(settings, program))
        world = World(settings, database, began)
        for name in ("mlops_runs_finished_total", 'predictions_total{variant="candidate"}', "model_info", XX):
            eventually(lambda name=name: bool(world.ask("query", query=name)["result"]), f"{name} is scraped")
        traffic(settings)
        predicted(other, 40)
        shipper.step()
        look(database, 2)
        more(rows, PRODUCT)
        more_ticks(rows)
        yield world


def _asked(settings: Settings) -> bool:
    url = f"http://127.0.0.1:{settings.ports.gateway}{ROUTE}"
    return httpx.post(url, json=HOME, headers={"x-user-id": "ann"}, timeout=20, **PLAIN).status_code == 200
