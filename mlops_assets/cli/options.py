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

ProductOption = Annotated[str | None, typer.Option("--product", help="Else the first product, by its slot.")]
ActedOnOption = Annotated[str | None, typer.Option("--product", help="Needed if several products are served.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")]
ActorOption = Annotated[str | None, typer.Option("--actor", help="Who; else your login name.")]


def actor_of(asked: str | None) -> str:
    """The asked-for name, or the login name."""
    return asked or getpass.getuser()


def product_of(asked: str | None) -> Product:
    """The served product to look at: the asked one, else the one that the gateway serves without a prefix.

    Raises LedgerError for an unknown one.
    """
    served = _served()
    return served[rollouts.choose(list(served)[:1] if asked is None else list(served), asked)]


def acted_on(asked: str | None) -> Product:
    """The served product that a decision is about. LedgerError: unknown, or not clear which."""
    served = _served()
    return served[rollouts.choose(list(served), asked)]


def _served() -> dict[str, Product]:
    """The served products by name, in the order of their slots."""
    slots = {product.serving.slot: product for product in declared_products() if product.serving is not None}
    return {slots[slot].name: slots[slot] for slot in sorted(slots)}
