"""What several commands ask for: the product, the actor, the reason.

Keep out commands.
"""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from mlops_assets.rollout import commands as rollouts
from mlops_assets.training.catalogue import declared_products
from mlops_assets.training.spec import Product

ProductOption = Annotated[str | None, typer.Option("--product", help="Needed if several products are served.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")]
ActorOption = Annotated[str | None, typer.Option("--actor", help="Who; else your login name.")]


def actor_of(asked: str | None) -> str:
    """The asked-for name, or the login name."""
    return asked or getpass.getuser()


def product_of(asked: str | None) -> Product:
    """The served product that a command is about. LedgerError: unknown, or not clear which."""
    served = {p.name: p for p in declared_products() if p.serving is not None}
    return served[rollouts.choose(list(served), asked)]
