"""What `mlops up`, `down`, `status`, `logs` and `dagster` do, for the CLI and for tests.

Keep out argument parsing (`cli.py`) and the steps themselves (`up.py`, `supervisor.py`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mlops_assets.installation import first_release, monitoring
from mlops_assets.installation.programs import PYTHON, Program
from mlops_assets.installation.report import Report
from mlops_assets.installation.secret_files import TOKEN_FILE
from mlops_assets.installation.supervisor import Supervisor, tail
from mlops_assets.installation.up import exclusive, prepare_home, start, stop
from mlops_assets.installation.upgrade import upgrade as rolling
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.settings import PROJECT, Settings
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product

LOCATION_FLAGS = frozenset(
    {
        *("-m", "--module-name", "-f", "--python-file", "-p", "--package-name"),
        *("-w", "--workspace", "-a", "--attribute", "--grpc-port"),
    }
)


class CommandError(RuntimeError):
    """The command can't do what was asked; the message says why."""


def up(settings: Settings, console: Console, train: bool = True, monitor: bool | None = None) -> None:
    """Start what isn't running, train what has no release, and show the addresses with a request that answers.

    Of an installation on several hosts, only what runs here; training is the orchestrator's. `monitor` says whether
    Prometheus and Alertmanager belong to it from now on; None leaves that as it is.

    Raises:
        MonitoringError: they are to belong to it and aren't installed; nothing is started then.
    """
    report = Report(console)
    products = declared_products()
    prepare_home(settings)
    with exclusive(settings):
        monitored = monitoring.choose(settings, monitor)
        programs = start(settings, products, report)
        if not settings.runs("orchestrator"):
            return
        database = Database.connect(settings.database)
        try:
            ledger = Ledger(database)
            online = [p for p in products if p.serving is not None]
            if train:
                for product in online:
                    first_release.train_if_needed(settings, ledger, product, report)
            console.print(addresses(settings, programs, products))
            for product in online if settings.alone else ():
                if ledger.state(product.name).production is not None:
                    _show_example(console, first_release.example(settings, ledger, product), product.title)
        finally:
            database.dispose()
    if monitored and monitoring.find() is None:
        console.print(f"\n[yellow]not monitored:[/] {escape(monitoring.how_to_install())}", soft_wrap=True)
    console.print("[dim]mlops status · traffic · rollout status · doctor · logs · down[/]")


def _show_example(console: Console, shown: first_release.Example, title: str) -> None:
    console.print(f"\n[bold]{escape(title)}[/]")
    console.print(f"  {escape(shown.curl)}", soft_wrap=True, highlight=False)
    answer = json.dumps(shown.answer, ensure_ascii=False)
    console.print(f"  [green]{escape(answer)}[/]", soft_wrap=True, highlight=False)


def addresses(settings: Settings, programs: list[Program], products: list[Product]) -> Table:
    """Where a person or a client finds each part."""
    table = Table(title="Addresses", title_justify="left", box=None, pad_edge=False)
    table.add_column("part", style="bold")
    table.add_column("address", overflow="fold")
    for product in (p for p in products if p.serving is not None):
        prefix = f"{settings.gateway_url}/{product.name}"
        table.add_row(product.title, f"{prefix}/")
        table.add_row("  its API, to read and try", f"{prefix}/docs")
    table.add_row("Console", f"{settings.console_url}/")
    table.add_row("Pipelines of your own", f"{settings.console_url}/pipelines")
    table.add_row("Dagster", f"{settings.dagster_url}/")
    table.add_row("MLflow", f"{settings.mlflow_url}/")
    table.add_row("  the token to sign in", str(settings.secrets / TOKEN_FILE))
    watching = {"prometheus": settings.prometheus_url, "alertmanager": settings.alertmanager_url}
    for program in (p for p in programs if p.name in watching):
        table.add_row(program.title, watching[program.name])
    services = [p for p in programs if p.name.endswith(("_production", "_candidate"))]
    for program in services:
        table.add_row(program.title, f"http://{program.here(settings)}:{program.port}")
    if settings.embedded_database:
        table.add_row("PostgreSQL", f"socket in {settings.postgres_socket_dir}")
    table.add_row("State and files", str(settings.home))
    return table


def down(settings: Settings, console: Console) -> None:
    """Stop everything; a second time finds nothing to stop."""
    if not settings.home.exists():
        console.print(f"nothing runs: {settings.home} doesn't exist")
        return
    prepare_home(settings)
    with exclusive(settings):
        was_running = Supervisor(settings).running()
        left = stop(settings, Report(console))
    if not was_running and not left:
        console.print("nothing was running")


def upgrade(settings: Settings, console: Console, backup: Callable[[Report], object] | None) -> None:
    """Start every program anew from the installed code, one after the other; `backup` is made before."""
    if not settings.home.exists():
        raise CommandError(f"there is no installation in {settings.home}")
    prepare_home(settings)
    report = Report(console)
    if backup is not None:
        backup(report)
    with exclusive(settings):
        count = rolling(settings, declared_products(), report)
    console.print(f"{count} programs restarted with version {version('mlops_assets')}", highlight=False)


def status(settings: Settings, console: Console) -> int:
    """Print the programs and who serves. Returns 0 if all run, 1 if one doesn't, 3 if nothing does."""
    states = Supervisor(settings).states()
    if not states:
        console.print("nothing runs; start it with: mlops up")
        return 3
    table = Table(box=None, pad_edge=False)
    for column in ("program", "state", "pid", "up for", "memory"):
        table.add_column(column, justify="right" if column in ("pid", "memory") else "left")
    total = 0
    for state in states.values():
        memory = resident_bytes(state.pid) if state.pid else 0
        total += memory
        good = state.state == "RUNNING"
        table.add_row(
            state.name,
            f"[{'green' if good else 'red'}]{state.state}[/]",
            str(state.pid or ""),
            _age(time.time() - state.started_at) if good else escape(state.description),
            f"{memory / 2**20:,.0f} MB",
        )
    table.add_section()
    table.add_row("all", "", "", "", f"{total / 2**20:,.0f} MB")
    console.print(table)
    return 0 if all(s.state == "RUNNING" for s in states.values()) else 1


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all its children; 0 if it has just ended."""
    try:
        process = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def logs(settings: Settings, program: str | None, lines: int, follow: bool) -> None:
    """Print the end of one log or of all of them, and go on with it if asked."""
    known = sorted(p.stem for p in settings.logs.glob("*.log")) if settings.logs.exists() else []
    if program is not None and program not in known:
        raise CommandError(f"no log of {program!r}; there are: {', '.join(known) or 'none'}")
    chosen = [program] if program else known
    paths = [settings.logs / f"{name}.log" for name in chosen]
    if follow:
        os.execvp("tail", ["tail", "-n", str(lines), "-F", *map(str, paths)])  # noqa: S606, S607
    for path in paths:
        if len(paths) > 1:
            print(f"==> {path.stem} <==")  # noqa: T201
        print("\n".join(tail(path, lines)))  # noqa: T201


def dagster_environment(settings: Settings) -> dict[str, str]:
    """The environment of a Dagster command against this instance."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return environment | settings.environment()


def dagster(settings: Settings, arguments: list[str]) -> None:
    """Run a Dagster command in the project with this installation's instance; ends with its exit code.

    Commands that work on definitions get this project's, unless they name others.
    """
    if not (settings.home / "dagster.yaml").exists():
        raise CommandError(f"{settings.home} isn't set up yet; run: mlops up")
    try:
        done = subprocess.run(
            [PYTHON, "-W", "ignore", "-m", "dagster", *with_definitions(arguments)],
            cwd=PROJECT,
            env=dagster_environment(settings),
            check=False,
        )
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(done.returncode)


def with_definitions(arguments: list[str]) -> list[str]:
    """`arguments` with the place of the definitions added where Dagster needs one and none is given."""
    given = LOCATION_FLAGS.intersection(a.split("=", 1)[0] for a in arguments)
    if len(arguments) < 2 or given or "--help" in arguments:
        return arguments
    if arguments[0] in ("asset", "job"):
        return [*arguments, "-m", "mlops_assets.definitions"]
    if arguments[0] in ("schedule", "sensor"):
        return [*arguments, "-w", str(PROJECT / "workspace.yaml")]
    return arguments
