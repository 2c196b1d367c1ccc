"""Which of the platform's migrations the tables are at, and which of them this version of the platform has.

Keep out running them (`database`). Alembic is large and most who import this package never need it, so it is imported
where it is used.
"""

from __future__ import annotations

from sqlalchemy import Connection

from mlops_assets.storage.database import MIGRATIONS, SCHEMA

TABLE = "migration"


class NewerTablesError(RuntimeError):
    """The tables are of a newer version of the platform; the message holds both versions and says what to do."""


def revision_of(connection: Connection) -> str:
    """Which migration the tables are at; empty without tables."""
    from alembic.runtime.migration import MigrationContext

    names = {"version_table": TABLE, "version_table_schema": SCHEMA}
    return MigrationContext.configure(connection, opts=names).get_current_revision() or ""


def newest() -> str:
    """The last migration that this version of the platform has."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS)).get_current_head() or ""


def knows(revision: str) -> bool:
    """Whether this version of the platform has that migration."""
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    try:
        return not revision or ScriptDirectory(str(MIGRATIONS)).get_revision(revision) is not None
    except CommandError:
        return False


def refuse_newer(connection: Connection) -> None:
    """Raises NewerTablesError where a newer version of the platform has migrated the tables."""
    revision = revision_of(connection)
    if not knows(revision):
        raise NewerTablesError(
            f"the platform's tables are at version {revision}, this version of the platform knows them up to "
            f"{newest()}: install the newer version again, or restore the backup that was made before the upgrade "
            "(deploy/README.md, Upgrade)"
        )
