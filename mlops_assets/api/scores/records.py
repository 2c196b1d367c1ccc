"""Reads of scored months that only the API and the console need: which products there are, and the newest of each.

Add a read here when it answers a question of theirs alone. Keep out everything else that is asked of the tables
(`batch.store`), every write, and how things are shown (`views`).
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on

from mlops_assets.batch.store import PRODUCTION
from mlops_assets.storage.database import Database, ScoredMonth


class UnscoredError(LookupError):
    """A product has no scored months; the message says which products have."""


def newest(database: Database) -> list[tuple[ScoredMonth, int]]:
    """Each product's newest month and how many months of that mode there are: production's if it scored any."""
    table = ScoredMonth
    months = func.count().over(partition_by=(table.product, table.mode))
    found = (
        select(table, months)
        .ext(distinct_on(table.product))
        .order_by(table.product, (table.mode == PRODUCTION).desc(), table.month.desc())
    )
    with database.session() as session:
        return [(month, count) for month, count in session.execute(found)]


def products(database: Database) -> list[str]:
    """Every product that has scored months, by name."""
    with database.session() as session:
        return list(session.scalars(select(ScoredMonth.product).distinct().order_by(ScoredMonth.product)))


def require_scored(database: Database, product: str) -> None:
    """Return if the product has scored months. Raises UnscoredError."""
    known = products(database)
    if not known:
        raise UnscoredError("no month has been scored yet; the months are once a release serves")
    if product not in known:
        raise UnscoredError(f"no scored months of {product!r}; there are those of: {', '.join(known)}")
