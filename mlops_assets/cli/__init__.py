"""`mlops …`: one line of work a command. Each calls a function that a test can call too.

Add a command here when a person at a terminal should be able to do it; groups of commands have files of their own. Keep
out the doing.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mlops_assets.access.roles import AccessError
from mlops_assets.api.orchestrator import OrchestratorError
from mlops_assets.backup.record import BackupError
from mlops_assets.cli import (
    backup,
    database,
    drift,
    export,
    metrics,
    notify,
    pipeline,
    pipeline_access,
    retention,
    rollout,
    scores,
    token,
    trace,
    usage,
)
from mlops_assets.cli.options import ProductOption, product_of
from mlops_assets.client.errors import ClientError
from mlops_assets.drift.daily import NothingServedError
from mlops_assets.installation import commands, host
from mlops_assets.installation.doctor import doctor as examine
from mlops_assets.installation.first_release import FirstReleaseError
from mlops_assets.installation.gateway_files import RoutesError
from mlops_assets.installation.monitoring import MonitoringError
from mlops_assets.installation.ports import PortTakenError
from mlops_assets.installation.postgres import PostgresError
from mlops_assets.installation.schema import MigrationError
from mlops_assets.installation.secret_files import MissingSecretError
from mlops_assets.installation.supervisor import SupervisorError
from mlops_assets.installation.up import InstallationError
from mlops_assets.notifications.channels import ChannelError
from mlops_assets.observability.exporter.scraping import ExporterError
from mlops_assets.observability.trace.tracer import TraceError
from mlops_assets.rehearsal.people import Crowd, Truth
from mlops_assets.rehearsal.stage import Play, RehearsalError, play
from mlops_assets.rollout.kubernetes_api import KubernetesError
from mlops_assets.rollout.ledger import LedgerError
from mlops_assets.settings import SettingsError, load
from mlops_assets.storage.files import StorageError
from mlops_assets.training.catalogue import DeclarationError

KNOWN_FAILURES = (
    AccessError,
    BackupError,
    ChannelError,
    ClientError,
    commands.CommandError,
    DeclarationError,
    ExporterError,
    FirstReleaseError,
    InstallationError,
    KubernetesError,
    LedgerError,
    MigrationError,
    MissingSecretError,
    MonitoringError,
    NothingServedError,
    OrchestratorError,
    PortTakenError,
    PostgresError,
    RehearsalError,
    RoutesError,
    SettingsError,
    StorageError,
    SupervisorError,
    TraceError,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(database.app, name="database")
app.add_typer(rollout.app, name="rollout")
app.add_typer(drift.app, name="drift")
app.add_typer(scores.app, name="scores")
app.add_typer(notify.app, name="notify")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(token.app, name="token")
app.command("backup")(backup.save)
app.command("restore")(backup.put_back)
app.command("upgrade")(backup.upgrade)
app.command("export")(export.take)
app.command("retention")(retention.retention)
app.command("metrics")(metrics.metrics)
app.command("trace")(trace.trace)
app.command("usage")(usage.show_usage)


def _told_version(asked: bool) -> None:
    if asked:
        typer.echo(version("mlops-assets"))
        raise typer.Exit


@app.callback()
def mlops(
    told: Annotated[bool, typer.Option("--version", callback=_told_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """The platform of this machine, or of this host."""


@app.command()
def up(
    train: Annotated[bool, typer.Option(help="Train the first model of a product that has none.")] = True,
    monitoring: Annotated[
        bool | None,
        typer.Option(help="Prometheus and Alertmanager too, from now on; without either, as it was said last."),
    ] = None,
    stay: Annotated[
        bool, typer.Option("--stay", help="Stay until SIGTERM, then stop everything: for containers.")
    ] = False,
) -> None:
    """Start everything; train and serve what isn't served yet. Running it again changes nothing."""
    settings, console = load(), Console()

    def start() -> None:
        commands.up(settings, console, train=train, monitor=monitoring)

    if stay:
        host.stay(settings, console, start)
    else:
        start()


@app.command()
def ready() -> None:
    """Whether every program of this host runs and answers; says which doesn't."""
    missing = host.not_ready(load())
    if missing:
        typer.echo("; ".join(missing), err=True)
        raise typer.Exit(1)


@app.command()
def migrate() -> None:
    """Bring the database's schemas to the installed version. Safe while others serve."""
    host.migrate(load())


@app.command()
def down() -> None:
    """Stop everything this installation started. State stays."""
    commands.down(load(), Console())


@app.command()
def status() -> None:
    """What runs, since when, with how much memory, and who serves."""
    raise typer.Exit(commands.status(load(), Console()))


@app.command()
def doctor() -> None:
    """Look for what is wrong, and say what to do about it."""
    raise typer.Exit(examine(load(), Console(), others=pipeline_access.VARIABLES))


@app.command()
def logs(
    program: Annotated[str | None, typer.Argument(help="A program's name from `mlops status`.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f")] = False,
) -> None:
    """The end of a program's log, or of all."""
    commands.logs(load(), program, lines, follow)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def dagster(context: typer.Context) -> None:
    """Any Dagster command against this instance."""
    commands.dagster(load(), context.args)


@app.command()
def traffic(
    candidate: Annotated[Truth, typer.Option(help="What the candidate is to its users.")] = "better",
    seconds: Annotated[float, typer.Option(min=5, max=3000, help="At most this long.")] = 300,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Requests a second.")] = 60,
    users: Annotated[int, typer.Option(min=10, max=100_000)] = 400,
    rated: Annotated[float, typer.Option(min=0, max=1, help="Share of the answers that get stars.")] = 0.5,
    effect: Annotated[float, typer.Option(min=0, max=4, help="Stars that better and worse mean.")] = 0.6,
    repeat_raters: Annotated[bool, typer.Option(help="A tenth of the users gives most ratings.")] = False,
    drift: Annotated[float, typer.Option(min=0, max=3, help="How much larger the asked sizes are: 0.25 is 25 %.")] = 0,
    speed: Annotated[float, typer.Option(min=1, max=100_000, help="Seconds of the policy's time in one.")] = 1440,
    seed: int = 7,
    product: ProductOption = None,
) -> None:
    """Play users against the real gateway and watch a rollout reach its verdict."""
    crowd = Crowd(candidate, users, rated, 0.05, effect, repeat_raters, drift, seed)
    play(load(), Console(), product_of(product), crowd, Play(seconds, rate, speed))


@app.command()
def automation() -> None:
    """What triggers what, as Markdown with charts: the content of deploy/AUTOMATION.md."""
    import warnings

    # Dagster tells once for each asset that parts of it are young; nobody who asks for the page wants to know.
    warnings.simplefilter("ignore")
    from mlops_assets.definitions import defs
    from mlops_assets.observability.automation.page import project_page

    typer.echo(project_page(defs()), nl=False)


def main() -> None:
    """Run the command line. A known failure is one message and exit code 1, never a traceback."""
    # Python keeps compiled modules for every process that is started from here.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        app()
    except KNOWN_FAILURES as error:
        Console(stderr=True).print(f"[red]mlops:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
