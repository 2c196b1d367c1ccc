"""The programs an installation runs: command, order, port, and how to tell that one is ready.

Add a program here when it has to stay up beside the others. Keep out how they are kept up: that is
`supervisor.py`. A program that serves a product comes from the product's YAML, never from a name in here.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mlops_assets.installation import postgres
from mlops_assets.installation.secret_files import KEY_FILE, TOKEN_FILE
from mlops_assets.rollout import gateway
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.training.spec import Product, Serving

PYTHON = sys.executable
BIN = Path(sys.executable).parent
# What every run needs: the products' definitions, and what a declared pipeline is made of.
PRELOADED = ("mlops_assets.definitions", "mlops_assets.pipelines.dagster_assets")


@dataclass(frozen=True)
class Program:
    """One process that stays up. `ready_path` is asked over HTTP, else the port.

    Programs of a `stage` start together, once those of the stage before that are `needed_by_next` are ready.
    """

    name: str
    command: tuple[str, ...]
    stage: int
    port: int | None = None
    ready_path: str | None = None
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    stop_seconds: int = 15
    stop_signal: str = "TERM"
    needed_by_next: bool = False
    title: str = ""


def platform_programs(settings: Settings) -> list[Program]:
    """Everything but the products' services: database, tracking, orchestration."""
    ports = settings.ports
    host = settings.host
    workspace = str(PROJECT / "workspace.yaml")
    programs = [
        Program(
            name="mlflow",
            title="MLflow",
            stage=1,
            port=ports.mlflow,
            ready_path="/health",
            command=(
                *(PYTHON, "-m", "mlops_assets.installation.run_mlflow", "--host", host, "--port", str(ports.mlflow)),
                *("--workers", "1", "--serve-artifacts"),
                *("--artifacts-destination", f"{settings.storage}/mlflow"),
            ),
            environment={
                "MLFLOW_BACKEND_STORE_URI": settings.database_for("mlflow"),
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
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
        ),
        Program(
            name="webserver",
            title="Dagster",
            stage=2,
            port=ports.dagster,
            ready_path="/server_info",
            command=(
                *(PYTHON, "-m", "mlops_assets.installation.run_webserver"),
                *("-h", host, "-p", str(ports.dagster), "-w", workspace),
            ),
        ),
        Program(
            name="daemon",
            title="Dagster daemon",
            stage=2,
            command=(str(BIN / "dagster-daemon"), "run", "-w", workspace),
        ),
    ]
    if settings.embedded_database:
        programs.insert(0, _postgres(settings))
    return programs


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
        port=port,
        ready_path="/livez",
        command=(
            *(str(BIN / "bentoml"), "serve", "inference.service:service"),
            *("--host", settings.host, "--port", str(port), "--working-dir", str(PROJECT)),
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
            "MLOPS_SERVING_DATABASE_URL": settings.database,
            "MLOPS_SERVING_JOURNAL_DIR": str(settings.journal),
            "MLOPS_SERVING_KEY_FILE": str(settings.secrets / KEY_FILE),
            "MLOPS_SERVING_TOKEN_FILE": str(settings.secrets / TOKEN_FILE),
            "MLOPS_SERVING_REPORT_URL": settings.api_url,
            "MLOPS_SERVING_DRILL_FILE": str(settings.run_dir / "drill.json"),
        },
    )


def rollout_programs(settings: Settings, gateway_digest: str) -> list[Program]:
    """What serves and compares: the log's shipper, the ledger's controller, the gateway, the control API.

    The digest of its configuration restarts a gateway that was started with another one.
    """
    ports = settings.ports
    return [
        Program(
            name="shipper",
            title="Prediction log",
            stage=1,
            command=(PYTHON, "-m", "inference.shipper"),
            environment={
                "MLOPS_SHIPPER_DATABASE_URL": settings.database,
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
        ),
        Program(
            name="gateway",
            title="Gateway",
            stage=2,
            port=ports.gateway,
            command=gateway.command(BIN / "envoy", settings.gateway / "envoy.json"),
            environment={"MLOPS_GATEWAY_DIGEST": gateway_digest},
        ),
        Program(
            name="api",
            title="Control API",
            stage=2,
            port=ports.api,
            ready_path="/api/v1/health",
            command=(PYTHON, "-m", "mlops_assets.api.server"),
        ),
    ]
