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
from mlops_assets.rehearsal.people import Crowd, Truth
from mlops_assets.rehearsal.stage import Play, RehearsalError, play
from mlops_assets.rollout import commands as rollouts
from mlops_assets.rollout.ledger import Ledger, LedgerError
from mlops_assets.settings import SettingsError, load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import DeclarationError, declared_products
from mlops_assets.training.spec import Product

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
    RehearsalError,
    SettingsError,
    SupervisorError,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
rollout = typer.Typer(no_args_is_help=True, help="Who serves: production, candidate, and decisions by hand.")
app.add_typer(rollout, name="rollout")

ProductOption = Annotated[str | None, typer.Option("--product", help="Needed if several products are served.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")]
ActorOption = Annotated[str | None, typer.Option("--actor", help="Who; else your login name.")]


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
    play(load(), Console(), _product(product), crowd, Play(seconds, rate, speed))


@rollout.command("status")
def rollout_status(product: ProductOption = None, limit: Annotated[int, typer.Option(min=1)] = 10) -> None:
    """Production, candidate, the newest look and the newest decisions."""
    rollouts.show(_ledger(), Console(), _product(product).name, limit)


@rollout.command("pause")
def rollout_pause(reason: ReasonOption, product: ProductOption = None, actor: ActorOption = None) -> None:
    """Stop everything but a rollback from happening by itself."""
    state = _ledger().pause(_product(product).name, actor=_actor(actor), reason=reason)
    Console().print(f"{state.product} is paused; guardrails still roll back")


@rollout.command("resume")
def rollout_resume(reason: ReasonOption, product: ProductOption = None, actor: ActorOption = None) -> None:
    """Let looks decide again."""
    state = _ledger().resume(_product(product).name, actor=_actor(actor), reason=reason)
    Console().print(f"{state.product} goes on")


@rollout.command("share")
def rollout_share(
    share: Annotated[float, typer.Argument(help="The candidate's share of the users, like 0.3.")],
    reason: ReasonOption,
    product: ProductOption = None,
    actor: ActorOption = None,
) -> None:
    """Set how many of the users the candidate serves."""
    chosen = _product(product)
    steps = chosen.rollout.steps
    state = _ledger().share(chosen.name, share, actor=_actor(actor), reason=reason, steps=steps)
    Console().print(f"{state.product}: candidate {state.candidate} serves {state.candidate_share:.0%} within 2 s")


@rollout.command("promote")
def rollout_promote(
    reason: ReasonOption,
    product: ProductOption = None,
    version: Annotated[int | None, typer.Option(help="A release's number; else the candidate.")] = None,
    actor: ActorOption = None,
) -> None:
    """Make the candidate, or an earlier release, production."""
    rollouts.promote(_ledger(), Console(), _product(product).name, _actor(actor), reason, version)


@rollout.command("rollback")
def rollout_rollback(
    reason: ReasonOption,
    product: ProductOption = None,
    actor: ActorOption = None,
    retrain: Annotated[bool, typer.Option(help="Train a new model afterwards, unless one was just trained.")] = True,
) -> None:
    """Withdraw the candidate; without one, go back to the production before this one."""
    rollouts.roll_back(_ledger(), Console(), _product(product).name, _actor(actor), reason, retrain)


@rollout.command("replay")
def rollout_replay(
    product: ProductOption = None,
    number: Annotated[int | None, typer.Option("--rollout", help="One rollout's number; else all.")] = None,
) -> None:
    """Compute every recorded verdict again from the raw log; fails if one differs."""
    database = Database.connect(load().database)
    same = rollouts.replay(Ledger(database), database, Console(), _product(product).name, number)
    raise typer.Exit(0 if same else 1)


@rollout.command("simulate")
def rollout_simulate(
    requests_per_hour: Annotated[float, typer.Option(min=1, help="Your traffic, both variants together.")] = 1000,
    rated: Annotated[float, typer.Option(min=0.0001, max=1, help="Share of the answers that users rate.")] = 0.05,
    runs: Annotated[int, typer.Option(min=20, max=10_000)] = 100,
    product: ProductOption = None,
) -> None:
    """How long a verdict takes with your traffic, and how often it is right, under your product's policy."""
    rollouts.simulate(Console(), _product(product).rollout, requests_per_hour, rated, runs)


def _ledger() -> Ledger:
    return Ledger(Database.connect(load().database))


def _actor(asked: str | None) -> str:
    return asked or getpass.getuser()


def _product(asked: str | None) -> Product:
    served = {p.name: p for p in declared_products() if p.serving is not None}
    return served[rollouts.choose(list(served), asked)]


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
