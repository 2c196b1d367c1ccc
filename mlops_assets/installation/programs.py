"""The programs an installation runs: command, order, port, and how to tell that one is ready.

Add a program here when it has to stay up beside the others. Keep out how they are kept up: that is
`supervisor.py`. A program that serves a product comes from the product's YAML, never from a name in here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops_assets.installation import monitoring, postgres
from mlops_assets.installation.guard import LIVEZ
from mlops_assets.installation.secret_files import KEY_FILE, TOKEN_FILE
from mlops_assets.rollout import gateway
from mlops_assets.settings import DAGSTER_PREFIX, PROJECT, Part, Settings
from mlops_assets.training.spec import Product, Serving

PYTHON = sys.executable
BIN = Path(sys.executable).parent
# What every run needs: the products' definitions, and what a declared pipeline is made of.
PRELOADED = ("mlops_assets.definitions", "mlops_assets.pipelines.dagster_assets")


@dataclass(frozen=True)
class Program:
    """One process that stays up. `ready_path` is asked over HTTP, else the port.

    It runs on hosts that have one of its `parts`, and is asked from other hosts too when it is `shared`. Programs of a
    `stage` start together, once those of the stage before that are `needed_by_next` are ready; those of stage 3 watch
    the others, and start when all of these are ready.
    """

    name: str
    command: tuple[str, ...]
    stage: int
    parts: tuple[Part, ...] = ("orchestrator",)
    shared: bool = False
    port: int | None = None
    ready_path: str | None = None
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: int = 15
    stop_signal: str = "TERM"
    needed_by_next: bool = False
    title: str = ""

    def here(self, settings: Settings) -> str:
        """The address at which this host's own programs ask it."""
        return settings.here if self.shared else settings.host


def all_programs(settings: Settings, products: Sequence[Product], gateway_digest: str = "") -> list[Program]:
    """Those of the whole installation, on whichever hosts.

    The digest of its configuration restarts a gateway that was started with another one.
    """
    found = platform_programs(settings) + rollout_programs(settings, gateway_digest)
    return found + [program for product in products for program in product_programs(settings, product)]


def of_this_host(settings: Settings, programs: Sequence[Program]) -> list[Program]:
    """Those that run here, by MLOPS_PARTS."""
    return [program for program in programs if any(settings.runs(part) for part in program.parts)]


def platform_programs(settings: Settings) -> list[Program]:
    """Everything but the products' services: database, tracking, orchestration."""
    ports = settings.ports
    host, listen = settings.host, settings.listen
    workspace = str(PROJECT / "workspace.yaml")
    programs = [
        Program(
            name="mlflow",
            title="MLflow",
            stage=1,
            shared=True,
            port=ports.mlflow,
            ready_path=LIVEZ,
            command=(
                *(PYTHON, "-m", "mlops_assets.installation.run_mlflow", "--host", listen, "--port", str(ports.mlflow)),
                *("--workers", "1", "--serve-artifacts"),
                *("--artifacts-destination", f"{settings.storage}/mlflow"),
            ),
            environment={
                "MLFLOW_BACKEND_STORE_URI": settings.database_for("mlflow"),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                # Whom it answers is decided by the guard before it, and under which names by the door.
                "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
            },
        ),
        Program(
            name="code",
            title="Dagster code server",
            stage=1,
            port=ports.code,
            needed_by_next=True,
            command=(
                *(PYTHON, "-m", "dagster", "api", "grpc", "--host", host, "--port", str(ports.code)),
                *("--module-name", "mlops_assets.definitions", "--location-name", "products"),
                *("--heartbeat-timeout", "60", "--inject-env-vars-from-instance"),
            ),
        ),
        Program(
            name="runs",
            title="Dagster run processes",
            stage=1,
            command=(
                *(PYTHON, "-m", "mlops_assets.runs.fork_server", "--socket", str(settings.runs_socket)),
                *("--preload", ",".join(PRELOADED), "--grace", "20"),
            ),
            stop_seconds=45,
        ),
        Program(
            name="pipelines",
            title="Declared pipelines",
            stage=1,
            port=ports.pipelines,
            needed_by_next=True,
            command=(
                *(PYTHON, "-m", "mlops_assets.pipelines.code_server", "--host", host),
                *("--port", str(ports.pipelines)),
            ),
        ),
        Program(
            name="stages",
            title="Stage processes",
            stage=1,
            command=(PYTHON, "-m", "mlops_assets.sandbox.server", "--socket", str(settings.stages_socket)),
            # Where stages can't be shut in, they can read the environment of what starts them.
            environment={"MLFLOW_TRACKING_TOKEN": ""},
        ),
        Program(
            name="webserver",
            title="Dagster",
            stage=2,
            shared=True,
            port=ports.dagster,
            ready_path=LIVEZ,
            command=(
                *(PYTHON, "-m", "mlops_assets.installation.run_webserver"),
                *("-h", listen, "-p", str(ports.dagster), "-w", workspace, "--path-prefix", DAGSTER_PREFIX),
            ),
        ),
        Program(
            name="daemon",
            title="Dagster daemon",
            stage=2,
            command=(str(BIN / "dagster-daemon"), "run", "-w", workspace),
        ),
        Program(
            name="metrics",
            title="Metrics",
            stage=2,
            shared=True,
            port=ports.metrics,
            ready_path="/livez",
            command=(PYTHON, "-m", "mlops_assets.observability.exporter"),
        ),
    ]
    if settings.embedded_database:
        programs.insert(0, _postgres(settings))
    return programs + monitoring_programs(settings)


def monitoring_programs(settings: Settings) -> list[Program]:
    """Prometheus and Alertmanager, where they are wanted and installed.

    The digest of what they read starts them again when it changed.
    """
    found = monitoring.find() if monitoring.wanted(settings) else None
    if found is None:
        return []
    ports, place = settings.ports, monitoring.folder(settings)
    environment = {"MLOPS_MONITORING_DIGEST": monitoring.digest(settings)}
    return [
        Program(
            name="alertmanager",
            title="Alertmanager",
            stage=3,
            port=ports.alertmanager,
            ready_path="/-/ready",
            command=(
                *(found.alertmanager, f"--config.file={monitoring.alertmanager_file(settings)}"),
                *(f"--web.listen-address={settings.host}:{ports.alertmanager}", "--data.retention=120h"),
                # Alone: without this it listens for others like it on every interface.
                *(f"--storage.path={place / 'alerts'}", "--cluster.listen-address=", "--log.level=warn"),
            ),
            environment=environment,
        ),
        Program(
            name="prometheus",
            title="Prometheus",
            stage=3,
            port=ports.prometheus,
            ready_path="/-/ready",
            command=(
                *(found.prometheus, f"--config.file={monitoring.prometheus_file(settings)}"),
                *(f"--web.listen-address={settings.host}:{ports.prometheus}", f"--storage.tsdb.path={place / 'data'}"),
                *("--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=2GB"),
                # An Alertmanager that starts again knows no alerts until it is told them again.
                *("--rules.alert.resend-delay=30s", "--query.timeout=30s", "--log.level=warn"),
            ),
            environment=environment,
            stop_seconds=30,
        ),
    ]


def _postgres(settings: Settings) -> Program:
    return Program(
        name="postgres",
        title="PostgreSQL",
        stage=0,
        command=postgres.command(settings),
        user=postgres.system_user(),
        stop_signal="INT",
        stop_seconds=30,
    )


def product_programs(settings: Settings, product: Product) -> list[Program]:
    """Both services of an online product; none for a product without `serving`."""
    serving = product.serving
    if serving is None:
        return []
    ports = {
        "production": settings.ports.production(serving.slot),
        "candidate": settings.ports.candidate(serving.slot),
    }
    return [_service(settings, product, serving, variant, port) for variant, port in ports.items()]


def _service(settings: Settings, product: Product, serving: Serving, variant: str, port: int) -> Program:
    name = f"{product.name}_{variant}"
    home = settings.home / "serving" / name
    return Program(
        name=name,
        title=f"{product.title}, {variant}",
        stage=2,
        parts=("serving",),
        shared=True,
        port=port,
        ready_path="/livez",
        command=(
            *(str(BIN / "bentoml"), "serve", "inference.service:service"),
            *("--host", settings.listen, "--port", str(port), "--working-dir", str(PROJECT)),
            *("--timeout-graceful-shutdown", "10", "--timeout-keep-alive", "75"),
        ),
        environment={
            "BENTOML_HOME": str(home / "bentoml"),
            "MLOPS_SERVING_PRODUCT": product.name,
            "MLOPS_SERVING_TITLE": product.title,
            "MLOPS_SERVING_MODULE": product.functions,
            "MLOPS_SERVING_VARIANT": variant,
            "MLOPS_SERVING_ROUTE": serving.route,
            "MLOPS_SERVING_ANSWER": serving.answer,
            "MLOPS_SERVING_BATCH_KEY": serving.batch_key,
            "MLOPS_SERVING_VOCABULARIES": json.dumps([v.model_dump() for v in serving.vocabularies]),
            "MLOPS_SERVING_BATCH_LIMIT": str(serving.batch_limit),
            "MLOPS_SERVING_CACHE_DIR": str(home / "releases"),
            "MLOPS_SERVING_DATABASE_URL": settings.serving_database,
            "MLOPS_SERVING_JOURNAL_DIR": str(settings.journal),
            "MLOPS_SERVING_KEY_FILE": str(settings.secrets / KEY_FILE),
            "MLOPS_SERVING_TOKEN_FILE": str(settings.secrets / TOKEN_FILE),
            "MLOPS_SERVING_REPORT_URL": settings.api_server_url,
            "MLOPS_SERVING_DRILL_FILE": str(settings.run_dir / "drill.json"),
            **({"MLOPS_SERVING_OTLP_ENDPOINT": str(settings.otlp_endpoint)} if settings.otlp_endpoint else {}),
        },
    )


def rollout_programs(settings: Settings, gateway_digest: str) -> list[Program]:
    """What serves and compares: the log's shipper, the ledger's controller, the gateway, the control API."""
    ports = settings.ports
    found = [
        Program(
            name="shipper",
            title="Prediction log",
            stage=1,
            # Each host ships what its own services answered and its own gateway failed to.
            parts=("serving", "gateway"),
            command=(PYTHON, "-m", "inference.shipper"),
            environment={
                "MLOPS_SHIPPER_DATABASE_URL": settings.serving_database,
                "MLOPS_SHIPPER_JOURNAL_DIR": str(settings.journal),
                "MLOPS_SHIPPER_FAILURES_LOG": str(settings.gateway / "failures.log"),
                "MLOPS_SHIPPER_GATEWAY_ADMIN": str(settings.gateway_admin),
            },
        ),
        Program(
            name="controller",
            title="Rollout controller, notices",
            stage=2,
            command=(PYTHON, "-m", "mlops_assets.installation.run_controller"),
            # It asks every program how it is, and reads once which there are.
            environment={"MLOPS_RUN_MONITORING": str(bool(monitoring_programs(settings)))},
        ),
        Program(
            name="gateway",
            title="Gateway",
            stage=2,
            parts=("gateway",),
            shared=True,
            port=ports.gateway,
            command=gateway.command(BIN / "envoy", settings.gateway / "envoy.json"),
            environment={"MLOPS_GATEWAY_DIGEST": gateway_digest},
        ),
        Program(
            name="api",
            title="Control API",
            stage=2,
            shared=True,
            port=ports.api_server,
            ready_path="/api/v1/health",
            command=(PYTHON, "-m", "mlops_assets.api.server"),
        ),
    ]
    if not settings.runs("orchestrator"):
        # Where the controller is, it does that too.
        command = (PYTHON, "-m", "mlops_assets.installation.run_routes")
        found.append(Program(name="routes", title="Gateway's routes", stage=1, parts=("gateway",), command=command))
    return found
