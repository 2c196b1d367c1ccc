"""Which release a variant of a product should serve and under which label, as the ledger in PostgreSQL says it.

Add here what must be read from the ledger to follow it. Keep out what is done about it (`follower`) and how
the database is asked in time (`postgres`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from inference.postgres import LIMIT_SECONDS, DatabaseError, Reader
from inference.settings import Variant

Label = Literal["production", "candidate", "standby"]

# The newest decision first, then its release: an older row that still joins must never win. The second
# service always holds something, so that each service can stand in for the other: the candidate, else the
# release that a rollback would go back to, else production.
_QUERY = """
WITH newest AS (
  SELECT production, candidate, created_at, CASE
    WHEN %(variant)s = 'production' THEN production
    WHEN candidate IS NOT NULL THEN candidate
    WHEN phase IN ('promoting', 'watch') AND previous IS NOT NULL THEN previous
    ELSE production END AS version
  FROM mlops.ledger WHERE product = %(product)s ORDER BY seq DESC LIMIT 1
)
SELECT release.version, release.uri, newest.production, newest.candidate, newest.created_at
FROM newest JOIN mlops.release ON release.product = %(product)s AND release.version = newest.version
"""


class RolesError(RuntimeError):
    """The ledger can't be read now; the message says why, without the password."""


@dataclass(frozen=True)
class Role:
    """The release a variant should serve ("" as `uri`: it has no files), who is production and who candidate
    at that moment, and when that was decided last.
    """

    version: int
    uri: str
    production: int | None = None
    candidate: int | None = None
    since: datetime | None = None

    @property
    def label(self) -> Label:
        """What answers of this release are labelled."""
        return self.label_of(self.version)

    def label_of(self, version: int) -> Label:
        """The label of any release by the same decision."""
        if version == self.candidate:
            return "candidate"
        return "production" if version == self.production else "standby"


class RoleReader(Protocol):
    """Where a variant's role is read from."""

    def current(self) -> Role | None:
        """The role now, or None when the variant has none. Raises RolesError."""

    def close(self) -> None:
        """Give up the connection, if there is one."""


class PostgresRoles:
    """The role in the ledger of a database; one connection, opened again after any error. Not for threads."""

    def __init__(self, url: str, product: str, variant: Variant, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._parameters = {"product": product, "variant": variant}
        self._reader = Reader(url, f"inference {product} {variant}", limit_seconds=limit_seconds)

    def current(self) -> Role | None:
        """One query; at most `limit_seconds` for connecting and asking together."""
        try:
            rows = self._reader.ask(_QUERY, self._parameters)
        except DatabaseError as error:
            raise RolesError(f"the ledger can't be read: {error}") from error
        if not rows:
            return None
        version, uri, production, candidate, since = rows[0]
        return Role(version, uri or "", production, candidate, since)

    def close(self) -> None:
        """Drop the connection; the next `current` opens another."""
        self._reader.close()
