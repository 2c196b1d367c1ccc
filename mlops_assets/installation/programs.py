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
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.training.spec import Product

PYTHON = sys.executable
BIN = Path(sys.executable).parent


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
                *(str(BIN / "mlflow"), "server", "--host", host, "--port", str(ports.mlflow)),
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
                *("--preload", "mlops_assets.definitions", "--grace", "20"),
            ),
            stop_seconds=45,
        ),
        Program(
            name="webserver",
            title="Dagster",
            stage=2,
            port=ports.dagster,
            ready_path="/server_info",
            command=(str(BIN / "dagster-webserver"), "-h", host, "-p", str(ports.dagster), "-w", workspace),
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
    """The production service of an online product; none for a product without `serving`."""
    serving = product.serving
    if serving is None:
        return []
    port = settings.ports.production(serving.slot)
    name = f"{product.name}_production"
    home = settings.home / "serving" / name
    return [
        Program(
            name=name,
            title=f"{product.title}, production",
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
                "MLOPS_SERVING_MODULE": product.functions,
                "MLOPS_SERVING_VARIANT": "production",
                "MLOPS_SERVING_ROUTE": serving.route,
                "MLOPS_SERVING_ANSWER": serving.answer,
                "MLOPS_SERVING_VOCABULARIES": json.dumps([v.model_dump() for v in serving.vocabularies]),
                "MLOPS_SERVING_BATCH_LIMIT": str(serving.batch_limit),
                "MLOPS_SERVING_CACHE_DIR": str(home / "releases"),
                "MLOPS_SERVING_DATABASE_URL": settings.database,
            },
        )
    ]
