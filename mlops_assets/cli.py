"""`mlops …`: one line of work a command. Each calls a function that a test can call too.

Add a command here when a person at a terminal should be able to do it. Keep out the doing.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mlops_assets.api.orchestrator import OrchestratorError
from mlops_assets.installation import commands
from mlops_assets.installation.doctor import doctor as examine
from mlops_assets.installation.first_release import FirstReleaseError
from mlops_assets.installation.ports import PortTakenError
from mlops_assets.installation.postgres import PostgresError
from mlops_assets.installation.schema import MigrationError
from mlops_assets.installation.supervisor import SupervisorError
from mlops_assets.installation.up import InstallationError
from mlops_assets.rollout import commands as rollouts
from mlops_assets.rollout.ledger import Ledger, LedgerError
from mlops_assets.settings import SettingsError, load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import DeclarationError, declared_products

KNOWN_FAILURES = (
    commands.CommandError,
    DeclarationError,
    FirstReleaseError,
    InstallationError,
    LedgerError,
    MigrationError,
    OrchestratorError,
    PortTakenError,
    PostgresError,
    SettingsError,
    SupervisorError,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
rollout = typer.Typer(no_args_is_help=True, help="Who serves: production, candidate, and decisions by hand.")
app.add_typer(rollout, name="rollout")

ProductOption = Annotated[str | None, typer.Option("--product", help="Needed if several products are served.")]


@app.command()
def up(
    train: Annotated[bool, typer.Option(help="Train the first model of a product that has none.")] = True,
) -> None:
    """Start everything; train and serve what isn't served yet. Running it again changes nothing."""
    commands.up(load(), Console(), train=train)


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
    raise typer.Exit(examine(load(), Console()))


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


@rollout.command("status")
def rollout_status(product: ProductOption = None, limit: Annotated[int, typer.Option(min=1)] = 10) -> None:
    """Production, candidate and the newest decisions."""
    rollouts.show(_ledger(), Console(), _product(product), limit)


@rollout.command("promote")
def rollout_promote(
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")],
    product: ProductOption = None,
    version: Annotated[int | None, typer.Option(help="A release's number; else the candidate.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who; else your login name.")] = None,
) -> None:
    """Make the candidate, or an earlier release, production."""
    rollouts.promote(_ledger(), Console(), _product(product), actor or getpass.getuser(), reason, version)


def _ledger() -> Ledger:
    return Ledger(Database.connect(load().database))


def _product(asked: str | None) -> str:
    return rollouts.choose([p.name for p in declared_products() if p.serving is not None], asked)


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
