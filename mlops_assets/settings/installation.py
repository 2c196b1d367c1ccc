"""The settings of an installation and what follows from them: addresses, folders, what its processes are given.

Add a field here when a deployment should be able to differ by it. Keep out anything a product declares in its YAML, and
what belongs together in a file beside this one. Environments differ by values, never by `if`: everything has a default
that fits one machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, HttpUrl, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from mlops_assets.settings.cluster import ClusterSettings
from mlops_assets.settings.databases import DRIVER, DatabaseSettings
from mlops_assets.settings.hosts import HostSettings
from mlops_assets.settings.ports import Port, Ports
from mlops_assets.settings.provider import ProviderSettings
from mlops_assets.settings.retention import RetentionSettings

PROJECT = Path(__file__).resolve().parents[2]
# The kernel's limit on a Unix socket path is 107 bytes; PostgreSQL appends "/.s.PGSQL.5432" to the folder.
LONGEST_SOCKET_FOLDER = 88
# Opens Dagster's webserver and MLflow to the gateway and to the installation's own programs, and to nobody else.
INNER_TOKEN_FILE = "inner_token"  # noqa: S105 (a file's name)
# Under these paths the door shows what is behind it. Dagster's webserver knows its own; MLflow's is taken off.
DAGSTER_PREFIX = "/dagster"
MLFLOW_PREFIX = "/mlflow"
# Who asks what is behind the door, as the door found out.
WHO_HEADER = "x-mlops-who"
ROLE_HEADER = "x-mlops-role"


class SettingsError(ValueError):
    """The environment holds a value that can't be used; the message names the variable."""


class Settings(DatabaseSettings, HostSettings, ClusterSettings, ProviderSettings, RetentionSettings):
    """One installation. `home` holds all its state; two installations differ by `home` and `port_offset`."""

    model_config = SettingsConfigDict(
        env_prefix="MLOPS_",
        env_file=str(PROJECT / ".env"),
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    home: Path = PROJECT / "dagster_home"
    port_offset: int = Field(default=0, ge=0, le=50_000)
    storage_url: str | None = None
    # Of all runs, and among them of declared pipelines: the products' runs always find a place beside those.
    max_concurrent_runs: int = Field(default=10, ge=1, le=1000)
    max_concurrent_pipeline_runs: int = Field(default=5, ge=1, le=1000)
    max_concurrent_trainings: int = Field(default=1, ge=1, le=1000)
    run_timeout_seconds: int = Field(default=3600, ge=1)

    # Whether a stage of a declared pipeline may declare that it needs the network, which is this machine's own, with
    # every server on it that asks nobody who they are.
    stage_network: bool = False
    # Where stages may take code from: beginnings of repositories' addresses, separated by blanks.
    code_sources: str = "https://"

    # What each issued token may ask of the control API, in the long run and at once.
    api_requests_per_second: float = Field(default=50, gt=0, le=100_000)
    api_burst: int = Field(default=200, ge=1, le=100_000)

    # apprise addresses, separated by blanks or line ends; `secrets/channels.yaml` can say more of each.
    notify_urls: SecretStr | None = None
    notify_cooldown_seconds: float = Field(default=3600, ge=1, le=7 * 86_400)
    # How people reach the pages from where they read a notice; else this machine's own addresses.
    public_dagster_url: HttpUrl | None = None

    # What an hour of one core and of one GB (1e9 bytes) of memory costs, for the cost of products and runs.
    cpu_hour_price: float = Field(default=0.04, ge=0, le=1e6)
    gb_hour_price: float = Field(default=0.005, ge=0, le=1e6)
    price_currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    # Where gateway and services send their traces (OTLP over HTTP); without it, trace ids are only kept in the log.
    otlp_endpoint: HttpUrl | None = None
    # Which share of the traces is sent.
    otlp_share: float = Field(default=0.1, ge=0, le=1)

    gateway_port: Port = 7000
    gateway_metrics_port: Port = 7001
    serving_port: Port = 6001
    api_port: Port = 8000
    api_server_port: Port = 8001
    dagster_port: Port = 3000
    code_port: Port = 4266
    mlflow_port: Port = 5000
    pipelines_port: Port = 4267
    metrics_port: Port = 9464
    prometheus_port: Port = 9090
    alertmanager_port: Port = 9093

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @model_validator(mode="after")
    def _shared_state(self) -> Self:
        """What hosts share, or roles of a database are given for, can't be this host's own."""
        ours = "" if self.runs("orchestrator") else "serving_"
        several, roles = not self.alone, self.serving_database_url is not None
        told = ": say which one all hosts of the installation use"
        # A host that has only services or a gateway needs no more than their role.
        if (several or roles) and self.database_url is None and (self.runs("orchestrator") or not roles):
            raise ValueError(f"MLOPS_{ours.upper()}DATABASE_URL{told}")
        if several and self.storage_url is None:
            raise ValueError(f"MLOPS_STORAGE_URL{told}")
        return self

    @cached_property
    def ports(self) -> Ports:
        """Every port after the offset; a port beyond 65535 is refused with the variable's name."""
        try:
            return Ports(
                gateway=self.gateway_port + self.port_offset,
                gateway_metrics=self.gateway_metrics_port + self.port_offset,
                serving=self.serving_port + self.port_offset,
                api=self.api_port + self.port_offset,
                api_server=self.api_server_port + self.port_offset,
                dagster=self.dagster_port + self.port_offset,
                code=self.code_port + self.port_offset,
                mlflow=self.mlflow_port + self.port_offset,
                pipelines=self.pipelines_port + self.port_offset,
                metrics=self.metrics_port + self.port_offset,
                prometheus=self.prometheus_port + self.port_offset,
                alertmanager=self.alertmanager_port + self.port_offset,
            )
        except ValidationError as error:
            raise SettingsError(f"MLOPS_PORT_OFFSET={self.port_offset} moves a port past 65535") from error

    @property
    def storage(self) -> str:
        """Root of data sets, features, releases, charts and MLflow files: a path or an fsspec URL."""
        return self.storage_url or str(self.home / "storage")

    @property
    def secrets(self) -> Path:
        """Folder of what was generated at the first start and nobody else may read: keys and tokens."""
        return self.home / "secrets"

    @property
    def journal(self) -> Path:
        """Folder of what services have answered and the database doesn't hold yet."""
        return self.home / "journal"

    @property
    def gateway(self) -> Path:
        """Folder of the gateway's files: its configuration, its routes, its failures."""
        return self.home / "gateway"

    @property
    def gateway_admin(self) -> Path:
        """Unix socket of the gateway's own administration; only its owner may use it."""
        return self.run_dir / "gateway.sock"

    @property
    def logs(self) -> Path:
        """One log file for each process of this installation."""
        return self.home / "logs"

    @cached_property
    def run_dir(self) -> Path:
        """Sockets, locks and process files; a short folder under the system's temporary one if `home` is deep."""
        inside = self.home / "run"
        if len(os.fsencode(inside)) <= LONGEST_SOCKET_FOLDER - len("/postgres"):
            return inside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mlops-{os.getuid()}-{digest}"

    @property
    def embedded_database(self) -> bool:
        """True while the database is the PostgreSQL that this installation runs itself."""
        return self.database_url is None and self.serving_database_url is None

    @property
    def postgres_socket_dir(self) -> Path:
        """Folder of the embedded server's Unix socket; only its owner may enter."""
        return self.run_dir / "postgres"

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the one database, embedded or the user's own; where only services are, as their role."""
        own = self.database_url or self.serving_database_url
        return own.get_secret_value() if own else f"{DRIVER}postgres@/postgres?host={self.postgres_socket_dir}"

    @property
    def serving_database(self) -> str:
        """URL of the same database for services, the log's shipper and the gateway's routes."""
        return self.serving_database_url.get_secret_value() if self.serving_database_url else self.database

    @property
    def reader_database(self) -> str:
        """URL of the same database for what only looks at it."""
        return self.reader_database_url.get_secret_value() if self.reader_database_url else self.database

    def database_for(self, schema: str) -> str:
        """URL of the same database for a part whose tables live in `schema` (Dagster, MLflow)."""
        joint = "&" if "?" in self.database else "?"
        return f"{self.database}{joint}options=-csearch_path%3D{schema}"

    @property
    def gateway_url(self) -> str:
        return f"http://{self.places('gateway')[0]}:{self.ports.gateway}"

    @property
    def api_url(self) -> str:
        """The door: control API and console, and behind their sign-in Dagster and MLflow. What people are shown."""
        return f"http://{self.places('gateway')[0]}:{self.ports.api}"

    @property
    def dagster_url(self) -> str:
        """Dagster's pages as people reach them, without a slash at the end."""
        return str(self.public_dagster_url or f"{self.console_url}{DAGSTER_PREFIX}").rstrip("/")

    @property
    def mlflow_url(self) -> str:
        """MLflow's pages as people reach them, without a slash at the end."""
        return f"{self.console_url}{MLFLOW_PREFIX}"

    @property
    def console_url(self) -> str:
        """The door as people reach it, without a slash at the end: what links lead to."""
        return str(self.public_api_url or self.api_url).rstrip("/")

    @property
    def api_server_url(self) -> str:
        """The control API behind the door, for the installation's own programs."""
        return f"http://{self.places('orchestrator')[0]}:{self.ports.api_server}"

    @property
    def dagster_server_url(self) -> str:
        """Dagster's webserver behind the door; it asks for the inner token."""
        return f"http://{self.places('orchestrator')[0]}:{self.ports.dagster}{DAGSTER_PREFIX}"

    @property
    def mlflow_server_url(self) -> str:
        """MLflow's server behind the door; it asks for the inner token."""
        return f"http://{self.places('orchestrator')[0]}:{self.ports.mlflow}"

    @property
    def inner_token(self) -> str | None:
        """What opens Dagster's webserver and MLflow to the platform's own programs; None before the first start."""
        try:
            return (self.secrets / INNER_TOKEN_FILE).read_text().strip() or None
        except FileNotFoundError:
            return None

    def inner_headers(self, role: str | None = None) -> dict[str, str]:
        """With these our own programs ask Dagster's webserver and MLflow; empty before the first start.

        Without the role `operator`, Dagster's webserver refuses every change.
        """
        token = self.inner_token
        if token is None:
            return {}
        return {"Authorization": f"Bearer {token}"} | ({ROLE_HEADER: role} if role else {})

    @property
    def metrics_url(self) -> str:
        return f"http://{self.places('orchestrator')[0]}:{self.ports.metrics}"

    @property
    def prometheus_url(self) -> str:
        return f"http://{self.host}:{self.ports.prometheus}"

    @property
    def alertmanager_url(self) -> str:
        return f"http://{self.host}:{self.ports.alertmanager}"

    @property
    def runs_socket(self) -> Path:
        """Socket of the process that forks Dagster runs."""
        return self.run_dir / "runs" / "fork.sock"

    @property
    def stages_socket(self) -> Path:
        """Socket of the process that stages of declared pipelines are forked from."""
        return self.run_dir / "stages" / "warm.sock"

    @property
    def stage_folders(self) -> Path:
        """Working folders of stages that run; each is removed when its stage has ended."""
        return self.home / "stages"

    @property
    def functions(self) -> Path:
        """Folder of Python files whose functions stages may name."""
        return self.home / "functions"

    @property
    def repositories(self) -> Path:
        """Checked-out commits of the repositories that stages name."""
        return self.home / "repositories"

    @property
    def run_logs(self) -> Path:
        """What runs printed: a folder for each."""
        return self.logs / "runs"

    @property
    def stage_logs(self) -> Path:
        """What stages printed and logged: a file for each attempt."""
        return self.logs / "stages"

    def source_of(self, product: str) -> str | None:
        """`MLOPS_<PRODUCT>_SOURCE`, which overrides the source in the product's YAML."""
        return os.environ.get(f"MLOPS_{product.upper()}_SOURCE") or None

    def environment(self) -> dict[str, str]:
        """What every process of this installation is given: resolved values, nothing left to guess."""
        token = self.inner_token
        return {
            "MLOPS_HOME": str(self.home),
            "MLOPS_PORT_OFFSET": str(self.port_offset),
            "MLOPS_STORAGE_URL": self.storage,
            "MLOPS_DAGSTER_DATABASE_URL": self.database_for("dagster"),
            "MLOPS_RUNS_SOCKET": str(self.runs_socket),
            # Not MLOPS_CODE_PORT: whoever is given both that and the offset would move it twice.
            "MLOPS_CODE_SERVER_PORT": str(self.ports.code),
            "MLOPS_PIPELINES_SERVER_PORT": str(self.ports.pipelines),
            "MLOPS_COMPUTE_LOGS": str(self.run_logs),
            "MLOPS_MAX_CONCURRENT_RUNS": str(self.max_concurrent_runs),
            "MLOPS_MAX_CONCURRENT_PIPELINE_RUNS": str(self.max_concurrent_pipeline_runs),
            "MLOPS_MAX_CONCURRENT_TRAININGS": str(self.max_concurrent_trainings),
            "MLOPS_RUN_TIMEOUT_SECONDS": str(self.run_timeout_seconds),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "MLFLOW_TRACKING_URI": self.mlflow_server_url,
            # MLflow's own client sends it; before the first start there is none.
            **({"MLFLOW_TRACKING_TOKEN": token} if token else {}),
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
            "DO_NOT_TRACK": "true",
            "BENTOML_DO_NOT_TRACK": "true",
        }


def load() -> Settings:
    """The settings of this process.

    Raises:
        SettingsError: a variable has a value that can't be used; names the variable, never a secret's value.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for e in error.errors(include_input=False, include_url=False):
            told = e["msg"].removeprefix("Value error, ")
            # What several fields are at fault for names its variable itself.
            name = re.sub(r"^MLOPS_", "", str(e["loc"][0]).upper()) if e["loc"] else None
            lines.append(f"MLOPS_{name}: {told}" if name else told)
        raise SettingsError("; ".join(lines)) from None
