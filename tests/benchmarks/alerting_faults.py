"""Twenty faults of a whole installation, each with the alert that should tell of it.

Add a fault here with what makes it and what ends it. Keep out measuring (`alerting`). Only processes of the
installation itself are stopped or killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import httpx
import psutil
from sqlalchemy import create_engine, text

from mlops_assets.api.orchestrator import Orchestrator
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.runs.launcher import PROCESS_TAG
from mlops_assets.runs.process import ProcessIdentity
from tests.e2e.installation import Installation
from tests.e2e.load import BODY, PRODUCT, ROUTE

SLEEPY = "import time\ndef run():\n    time.sleep(600)"
FAULTY = "def run():\n    raise ValueError('as it was made')"
RELOAD = 'mutation { reloadRepositoryLocation(repositoryLocationName: "products") { __typename } }'
TAGS = """query($id: ID!) { runOrError(runId: $id) { ... on Run { tags { key value } } } }"""
# The exporter with a clock that is a minute and a half ahead.
SKEWED = (
    "import time; real = time.time; time.time = lambda: real() + 90;"
    "from mlops_assets.observability.exporter.__main__ import main; main()"
)


@dataclass(frozen=True)
class Fault:
    """`alert` is the name that is waited for, `labels` what it must carry. The fault lasts as long as the block."""

    name: str
    alert: str
    make: Callable[[Target], object]
    labels: tuple[tuple[str, str], ...] = ()


class Target:
    """An installation and how it is broken."""

    def __init__(self, made: Installation) -> None:
        self.made, self.settings = made, made.settings
        self.supervisor = Supervisor(made.settings)

    @contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """Programs are down until the block ends."""
        for name in names:
            self.supervisor.stop_program(name)
        try:
            yield
        finally:
            for name in names:
                self._settled(name)
                self.supervisor.start_program(name)

    def _settled(self, name: str) -> None:
        give_up = time.monotonic() + 60
        while self.supervisor.states()[name].state == "STOPPING" and time.monotonic() < give_up:
            time.sleep(0.1)

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """A program's processes are there and do nothing."""
        parent = psutil.Process(self.supervisor.states()[name].pid)
        processes = [parent, *parent.children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    @contextmanager
    def traffic(self, per_second: float) -> Iterator[None]:
        """Users ask the gateway until the block ends."""
        over = threading.Event()

        def ask() -> None:
            number = 0
            with httpx.Client(timeout=10, trust_env=False) as client:
                while not over.wait(1 / per_second):
                    number += 1
                    with suppress(httpx.HTTPError):
                        headers = {"x-user-id": f"user-{number % 200}"}
                        client.post(f"{self.settings.gateway_url}/{PRODUCT}{ROUTE}", json=BODY, headers=headers)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(20)

    @contextmanager
    def broken_location(self) -> Iterator[None]:
        """The products' code location doesn't load."""
        orchestrator = Orchestrator.of(self.settings)
        with self.stopped("code"):
            self._settled("code")
            orchestrator.query(RELOAD, {})
            yield
        time.sleep(15)
        orchestrator.query(RELOAD, {})

    def pipeline(self, name: str, source: str) -> None:
        """A deployed pipeline of one stage."""
        body = {"name": name, "stages": [{"name": "work", "stage_type": "CLEANUP", "source": source}]}
        with self._api() as client:
            client.post("/api/v1/pipelines", json=body).raise_for_status()
            client.post(f"/api/v1/pipelines/{name}/deploy").raise_for_status()

    def _api(self) -> httpx.Client:
        token = (self.settings.secrets / "operator_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.settings.api_url, headers=headers, timeout=60, trust_env=False)

    @contextmanager
    def runs(self, name: str, count: int) -> Iterator[list[str]]:
        """Runs of a pipeline, cancelled at the end of the block; their ids are Dagster's."""
        with self._api() as client:
            made = [client.post(f"/api/v1/pipelines/{name}/runs").raise_for_status().json() for _ in range(count)]
            try:
                yield [str(run["id"]) for run in made]
            finally:
                for run in made:
                    client.post(f"/api/v1/runs/{run['id']}/cancel")

    @contextmanager
    def killed_run(self) -> Iterator[None]:
        """The process of a run is killed with -9; one that succeeds ends it."""
        with self.runs("sleepy", 1) as (run,), Orchestrator.of(self.settings) as orchestrator:
            give_up = time.monotonic() + 60
            while time.monotonic() < give_up:
                tags = orchestrator.query(TAGS, {"id": run})["runOrError"].get("tags", [])
                found = [tag["value"] for tag in tags if tag["key"] == PROCESS_TAG]
                if found:
                    os.kill(ProcessIdentity.parse(found[0]).pid, signal.SIGKILL)
                    break
                time.sleep(0.2)
            yield
        self.succeed()

    @contextmanager
    def failed_run(self) -> Iterator[None]:
        """A run fails; one that succeeds ends it."""
        with self.runs("faulty", 1):
            yield
        self.succeed()

    def succeed(self) -> None:
        """A run of a pipeline that ends well, given time to."""
        with self.runs("well", 1):
            time.sleep(20)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Less than a twentieth of the disk of the installation is left."""
        ballast = self.settings.home / "ballast"
        disk = os.statvfs(self.settings.home)
        size = disk.f_bavail * disk.f_frsize - disk.f_blocks * disk.f_frsize // 33
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody else can read a table."""
        engine = create_engine(self.settings.database)
        try:
            with engine.begin() as connection:
                connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))  # (names of this file)
                yield
        finally:
            engine.dispose()

    @contextmanager
    def many_connections(self) -> Iterator[None]:
        """All but a tenth of the database's connections are taken."""
        with ExitStack() as stack:
            engine = create_engine(self.settings.database, pool_size=1000)
            stack.callback(engine.dispose)
            with engine.connect() as asking:
                limit = int(asking.execute(text("SELECT current_setting('max_connections')")).scalar_one())
                taken = int(asking.execute(text("SELECT count(*) FROM pg_stat_activity")).scalar_one())
            for _ in range(int(limit * 0.92) - taken):
                stack.enter_context(engine.connect()).execute(text("SELECT 1"))
            yield

    @contextmanager
    def skewed_clock(self) -> Iterator[None]:
        """The exporter runs with another clock than the database."""
        with self.stopped("metrics"):
            self._settled("metrics")
            environment = self.made.environment(self.settings.environment() | {"MLOPS_HOME": str(self.settings.home)})
            running = subprocess.Popen([sys.executable, "-c", SKEWED], env=environment, stderr=subprocess.DEVNULL)
            try:
                yield
            finally:
                running.terminate()
                running.wait(20)

    @contextmanager
    def crashing(self, name: str) -> Iterator[None]:
        """A program is killed whenever it has started, four times."""
        over = threading.Event()

        def kill() -> None:
            for _ in range(4):
                while (state := self.supervisor.states()[name]).state != "RUNNING" and not over.wait(0.5):
                    pass
                with suppress(ProcessLookupError):
                    os.kill(state.pid, signal.SIGKILL)
                # Prometheus looks every 15 s: between two looks any number of starts are one.
                if over.wait(16):
                    return

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(30)

    @contextmanager
    def no_answers(self) -> Iterator[None]:
        """Both services of a product are down while users ask."""
        with self.traffic(20), self.stopped(f"{PRODUCT}_production", f"{PRODUCT}_candidate"):
            yield


def program(name: str) -> tuple[tuple[str, str], ...]:
    return (("program", name),)


PRODUCTION, CANDIDATE = f"{PRODUCT}_production", f"{PRODUCT}_candidate"
FAULTS = (
    Fault("service down", "ServiceDown", lambda t: t.stopped(PRODUCTION), program(PRODUCTION)),
    Fault("gateway down", "GatewayDown", lambda t: t.stopped("gateway")),
    Fault("exporter down", "ExporterDown", lambda t: t.stopped("metrics")),
    Fault("shipper hangs", "ShipperSilent", lambda t: t.hanging("shipper")),
    Fault("daemon hangs", "DaemonSilent", lambda t: t.hanging("daemon")),
    Fault("job fails", "JobFailing", lambda t: t.failed_run(), (("job", "pipelines"),)),
    Fault("candidate's service down", "ServiceDown", lambda t: t.stopped(CANDIDATE), program(CANDIDATE)),
    Fault("service hangs", "ServiceDown", lambda t: t.hanging(PRODUCTION), program(PRODUCTION)),
    Fault("exporter hangs", "ExporterDown", lambda t: t.hanging("metrics")),
    Fault("daemon down", "ProgramDown", lambda t: t.stopped("daemon"), program("daemon")),
    Fault("MLflow down", "ProgramDown", lambda t: t.stopped("mlflow"), program("mlflow")),
    Fault("code location doesn't load", "CodeLocationBroken", lambda t: t.broken_location()),
    Fault("queue full", "QueueFull", lambda t: t.runs("sleepy", 8), (("limit", "pipelines"),)),
    Fault("run killed", "JobFailing", lambda t: t.killed_run(), (("job", "pipelines"),)),
    Fault("table locked", "CollectorFailing", lambda t: t.locked("dagster.runs"), (("collector", "runs"),)),
    Fault("database down", "DatabaseDown", lambda t: t.stopped("postgres")),
    Fault("connections taken", "ConnectionsNearLimit", lambda t: t.many_connections()),
    Fault("clock off", "ClockSkew", lambda t: t.skewed_clock()),
    Fault("disk 97 % full", "DiskFilling", lambda t: t.full_disk(), (("severity", "critical"),)),
    Fault("no service answers", "AnswersFailing", lambda t: t.no_answers()),
    Fault("program crashes", "ProgramRestarting", lambda t: t.crashing("mlflow"), program("mlflow")),
)
QUICK = 6
PIPELINES = {"sleepy": SLEEPY, "faulty": FAULTY, "well": "def run():\n    return 1"}
