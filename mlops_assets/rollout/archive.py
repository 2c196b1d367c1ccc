"""Which releases are archived: all beyond the newest, unless somebody needs them. A mark, never a deletion.

Keep out the removal of files: an archived release can serve again at any time.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, update

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database, Release


@dataclass(frozen=True)
class Archived:
    """Release numbers that were marked now, that lost the mark, and that have it; and how many have none."""

    archived: tuple[int, ...]
    returned: tuple[int, ...]
    all_archived: tuple[int, ...]
    kept: int


def archive(database: Database, product: str, keep: int) -> Archived:
    """Mark the published releases beyond the `keep` newest that are neither production, candidate nor previous.

    A release that serves again loses its mark. Running it twice changes nothing more.
    """
    state = Ledger(database).state(product)
    used = {state.production, state.candidate, state.previous}
    with database.session() as session, session.begin():
        published = (Release.product == product) & Release.uri.is_not(None)
        newest_first = select(Release.version, Release.archived_at).where(published).order_by(Release.version.desc())
        marks = {version: mark for version, mark in session.execute(newest_first)}
        old = {version for version in list(marks)[keep:] if version not in used}
        newly = tuple(sorted(version for version in old if marks[version] is None))
        again = tuple(sorted(version for version in marks.keys() - old if marks[version] is not None))
        for versions, mark in ((newly, func.clock_timestamp()), (again, None)):
            of = published & Release.version.in_(versions)
            session.execute(update(Release).where(of).values(archived_at=mark))
    return Archived(newly, again, tuple(sorted(old)), len(marks) - len(old))
