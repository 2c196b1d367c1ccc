"""`mlops rollout …`: who serves, and decisions by hand.

Keep out the doing (`rollout.commands`).
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from mlops_assets.cli.options import (
    ActedOnOption,
    ActorOption,
    ProductOption,
    ReasonOption,
    acted_on,
    actor_of,
    product_of,
)
from mlops_assets.installation.gateway_files import online_products
from mlops_assets.rollout import commands as rollouts
from mlops_assets.rollout.gateway_api import Attachment
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.route_commands import keep_routes, routes_text
from mlops_assets.settings import load
from mlops_assets.storage.database import Database
from mlops_assets.training.catalogue import declared_products

app = typer.Typer(no_args_is_help=True, help="Who serves: production, candidate, and decisions by hand.")


@app.command("status")
def rollout_status(product: ProductOption = None, limit: Annotated[int, typer.Option(min=1)] = 10) -> None:
    """Production, candidate, the newest look and the newest decisions."""
    rollouts.show(ledger(), Console(), product_of(product).name, limit)


@app.command("pause")
def rollout_pause(reason: ReasonOption, product: ActedOnOption = None, actor: ActorOption = None) -> None:
    """Stop everything but a rollback from happening by itself."""
    state = ledger().pause(acted_on(product).name, actor=actor_of(actor), reason=reason)
    Console().print(f"{state.product} is paused; guardrails still roll back")


@app.command("resume")
def rollout_resume(reason: ReasonOption, product: ActedOnOption = None, actor: ActorOption = None) -> None:
    """Let looks decide again."""
    state = ledger().resume(acted_on(product).name, actor=actor_of(actor), reason=reason)
    Console().print(f"{state.product} goes on")


@app.command("share")
def rollout_share(
    share: Annotated[float, typer.Argument(help="The candidate's share of the users, like 0.3.")],
    reason: ReasonOption,
    product: ActedOnOption = None,
    actor: ActorOption = None,
) -> None:
    """Set how many of the users the candidate serves."""
    chosen = acted_on(product)
    steps = chosen.rollout.steps
    state = ledger().share(chosen.name, share, actor=actor_of(actor), reason=reason, steps=steps)
    Console().print(f"{state.product}: candidate {state.candidate} serves {state.candidate_share:.0%} within 2 s")


@app.command("promote")
def rollout_promote(
    reason: ReasonOption,
    product: ActedOnOption = None,
    version: Annotated[int | None, typer.Option(help="A release's number; else the candidate.")] = None,
    actor: ActorOption = None,
) -> None:
    """Make the candidate, or an earlier release, production."""
    rollouts.promote(ledger(), Console(), acted_on(product).name, actor_of(actor), reason, version)


@app.command("rollback")
def rollout_rollback(
    reason: ReasonOption,
    product: ActedOnOption = None,
    actor: ActorOption = None,
    retrain: Annotated[bool, typer.Option(help="Train a new model afterwards, unless one was just trained.")] = True,
) -> None:
    """Withdraw the candidate; without one, go back to the production before this one."""
    rollouts.roll_back(ledger(), Console(), acted_on(product).name, actor_of(actor), reason, retrain)


@app.command("replay")
def rollout_replay(
    product: ProductOption = None,
    number: Annotated[int | None, typer.Option("--rollout", help="One rollout's number; else all.")] = None,
) -> None:
    """Compute every recorded verdict again from the raw log; fails if one differs."""
    database = Database.connect(load().database)
    same = rollouts.replay(Ledger(database), database, Console(), product_of(product).name, number)
    raise typer.Exit(0 if same else 1)


@app.command("simulate")
def rollout_simulate(
    requests_per_hour: Annotated[float, typer.Option(min=1, help="Your traffic, both variants together.")] = 1000,
    rated: Annotated[float, typer.Option(min=0.0001, max=1, help="Share of the answers that users rate.")] = 0.05,
    runs: Annotated[int, typer.Option(min=20, max=10_000)] = 100,
    product: ProductOption = None,
) -> None:
    """How long a verdict takes with your traffic, and how often it is right, under your product's policy."""
    rollouts.simulate(Console(), product_of(product).rollout, requests_per_hour, rated, runs)


@app.command("routes")
def rollout_routes(
    gateway: Annotated[str, typer.Option(help="The cluster's Gateway that routes belong to.")],
    gateway_namespace: Annotated[str | None, typer.Option(help="Its namespace; else that of the routes.")] = None,
    section: Annotated[str | None, typer.Option(help="One of its listeners; else all.")] = None,
    hostname: Annotated[list[str] | None, typer.Option(help="A name that users ask; may be given again.")] = None,
    service: Annotated[str, typer.Option(help="The Service of all serving pods.")] = "serving",
    sessions: Annotated[bool, typer.Option(help="Keep users on their variant by a cookie.")] = True,
    apply: Annotated[bool, typer.Option("--apply", help="Keep the cluster's routes so, until SIGTERM.")] = False,
) -> None:
    """The ledger's shares as Kubernetes HTTPRoutes, for a cluster whose own Gateway splits users."""
    attachment = Attachment(gateway, gateway_namespace, section, tuple(hostname or ()), service, sessions)
    settings = load()
    upstreams = [online.upstream for online in online_products(settings, declared_products())]
    if apply:
        keep_routes(ledger(), upstreams, attachment)
    else:
        typer.echo(routes_text(ledger(), upstreams, attachment), nl=False)


def ledger() -> Ledger:
    """The installation's ledger."""
    return Ledger(Database.connect(load().database))
