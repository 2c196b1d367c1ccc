"""What drift is told of a declared product: its policy, and its columns once they are asked for.

Keep out which columns those are (`drift_reference`) and everything that drift does with them.
"""

from __future__ import annotations

import importlib

from mlops_assets.drift.daily import Watched
from mlops_assets.drift.facts import Monitored
from mlops_assets.training.spec import Product


def watched(product: Product) -> Watched:
    """The product as `drift` knows it. The product's module is imported when its columns are first asked for."""

    def monitored() -> tuple[Monitored, ...]:
        from mlops_assets.training import drift_reference

        return drift_reference.monitored(product, importlib.import_module(product.functions).Request)

    return Watched(
        name=product.name,
        title=product.title,
        owner=product.owner,
        policy=product.drift,
        monitored=monitored,
        learns_from_labels=getattr(product.source, "live_labels", None) is not None,
    )
