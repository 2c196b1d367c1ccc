"""Real servers for tests, each started on its own, waited for, and ended by its process id."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from mlops_assets.installation import postgres
from mlops_assets.installation.programs import platform_programs
from mlops_assets.installation.up import is_ready
from mlops_assets.settings import PROJECT, Settings

START_SECONDS = 60.0
# Above those of installations of tests (`free_offset`), below those that the system gives to outgoing connections.
PORTS = range(31_400, 32_768)
OPEN_MLFLOW = "import sys; from mlops_assets.installation.run_mlflow import main; main(sys.argv[1:], guard=False)"


def _my_ports() -> Iterator[int]:
    """This worker's share of `PORTS`, again and again, from anywhere on: a run of tests beside it begins elsewhere."""
    name, count = os.environ.get("PYTEST_XDIST_WORKER", "gw0"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = PORTS[int(name.removeprefix("gw")) :: count]
    first = random.randrange(len(mine))
    return itertools.cycle([*mine[first:], *mine[:first]])


_ports = _my_ports()


def free_port() -> int:
    """A port that nobody listened on a moment ago, and that no other worker and no outgoing connection is given."""
    for port in itertools.islice(_ports, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no free port from {PORTS[0]} to {PORTS[-1]}")


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without what would slow or mislead a child."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE" and not k.startswith("MLOPS_")}
    return kept | dict(extra or {})


@contextmanager
def process(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
    stop_seconds: float = 20,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from ready to ended; the end of its log is in the message when it doesn't start."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            list(command),
            cwd=PROJECT if user is None else "/",
            env=child_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **postgres.as_user(user),
        )

    def told() -> str:
        return f"{log.stem} isn't ready:\n{log.read_text(errors='replace')[-3000:]}"

    def ready_or_ended() -> bool:
        return running.poll() is not None or ready()

    try:
        wait_until(ready_or_ended, START_SECONDS, told)
        assert running.poll() is None, told()
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(stop)
            try:
                running.wait(stop_seconds)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait(20)


def wait_until(ready: Callable[[], bool], seconds: float, message: Callable[[], str] = lambda: "not in time") -> None:
    """Return when `ready` is true; fail with `message` after `seconds`."""
    give_up = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > give_up:
            raise AssertionError(message())
        time.sleep(0.05)


@contextmanager
def running_postgres(folder: Path) -> Iterator[str]:
    """PostgreSQL exactly as an installation runs it."""
    settings = Settings(home=folder)
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    if postgres.system_user():
        settings.run_dir.chmod(0o711)
    postgres.prepare(settings)
    engine = create_engine(settings.database)

    def answers() -> bool:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            return True
        except OperationalError:
            return False

    log = folder / "postgres.log"
    command = postgres.command(settings)
    with process(command, log, answers, user=postgres.system_user(), stop=signal.SIGINT):
        try:
            yield settings.database
        finally:
            engine.dispose()


@contextmanager
def running_webserver(settings: Settings, workspace: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Dagster's webserver as an installation runs it, behind the guard, with another workspace; its address."""
    program = next(p for p in platform_programs(settings) if p.name == "webserver")
    command = list(program.command)
    command[command.index("-w") + 1] = str(workspace)
    given = settings.environment() | program.environment | dict(environment)
    with process(command, settings.home / "webserver.log", lambda: is_ready(settings, program), given):
        yield settings.dagster_server_url


@contextmanager
def running_mlflow(database_url: str, folder: Path, destination: str | None = None) -> Iterator[str]:
    """An MLflow server as an installation runs it, on a schema of its own, but without the guard.

    Its log is in the folder, and artifacts too, unless `destination` says where.
    """
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS mlflow"))
    engine.dispose()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-c", OPEN_MLFLOW),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
    ]
    command += ["--serve-artifacts", "--artifacts-destination", destination or str(folder)]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": f"{database_url}&options=-csearch_path%3Dmlflow",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    with process(command, folder / "server.log", answers, environment):
        yield url
