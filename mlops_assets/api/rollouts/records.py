"""Reads of releases and decisions that only a page needs: since when, the newest look, what may be promoted.

Add a read here when it answers a question of the API alone. Keep out every write: those are the ledger's.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select

from mlops_assets.storage.database import Database, LedgerEntry, Release

PROMOTABLE = 20


def production_since(database: Database, product: str, version: int) -> datetime | None:
    """When the present production took over, the time it has been so without a break."""
    of_product = LedgerEntry.product == product
    other = select(func.max(LedgerEntry.seq)).where(of_product, LedgerEntry.production.is_distinct_from(version))
    since = select(func.min(LedgerEntry.created_at)).where(
        of_product, LedgerEntry.seq > func.coalesce(other.scalar_subquery(), 0)
    )
    with database.session() as session:
        return session.scalar(since)


def newest_look(database: Database, product: str, rollout: int | None) -> LedgerEntry | None:
    """The newest recorded look at a rollout."""
    found = (
        select(LedgerEntry)
        .where(
            LedgerEntry.product == product,
            LedgerEntry.rollout == rollout,
            LedgerEntry.details.has_key("evidence"),
        )
        .order_by(LedgerEntry.seq.desc())
        .limit(1)
    )
    with database.session() as session:
        return session.scalar(found)


def releases_of(database: Database, product: str, versions: set[int]) -> dict[int, Release]:
    """The newest published releases of a product and those of `versions`, by number."""
    published = select(Release).where(Release.product == product, Release.uri.is_not(None))
    newest = published.where(Release.archived_at.is_(None)).order_by(Release.version.desc()).limit(PROMOTABLE)
    named = published.where(Release.version.in_(versions))
    with database.session() as session:
        found = {release.version: release for query in (newest, named) for release in session.scalars(query)}
    return dict(sorted(found.items(), reverse=True))
