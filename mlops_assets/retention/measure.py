"""How much is kept now: rows and bytes of tables, files and bytes of folders, the oldest row. Nothing is changed.

Keep out how long things are kept (`declared`). Large tables are estimated, by the database's own figures, and a folder
that takes too long is told as far as it was walked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from mlops_assets.retention.declared import KEPT
from mlops_assets.retention.policy import Kept, of_table
from mlops_assets.settings import Settings
from mlops_assets.storage import remote
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage, StorageError, told

SCHEMAS = ("mlops", "dagster", "mlflow")
# Up to here rows are counted.
COUNTED_BYTES = 64 << 20
OLDEST_MILLISECONDS = 3000
WALK_SECONDS = 20.0
_TABLES = """
SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted,
  pg_total_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0)::bigint AS rows
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = ANY(:schemas) ORDER BY 1
"""


@dataclass
class Held:
    """What a line of the list holds now: rows and files with their bytes; `about` tells of an estimate or a part."""

    rows: int = 0
    files: int = 0
    bytes: int = 0
    oldest: datetime | None = None
    about: bool = False


def held(settings: Settings, database: Database, storage: Storage) -> dict[str, Held]:
    """What each line of the list holds, by its `what`. Raises SQLAlchemyError."""
    found = {kept.what: Held() for kept in KEPT}
    with database.engine.connect() as connection:
        _tables(connection, found)
        for kept in KEPT:
            if kept.oldest is not None:
                found[kept.what].oldest = _oldest(connection, kept.oldest)
    for kept in KEPT:
        _files(settings, storage, kept, found[kept.what])
    return found


def _tables(connection: Connection, found: dict[str, Held]) -> None:
    for row in connection.execute(text(_TABLES), {"schemas": list(SCHEMAS)}).all():
        kept = of_table(KEPT, row.name)
        if kept is None:
            continue
        one = found[kept.what]
        one.bytes += row.bytes
        if row.bytes <= COUNTED_BYTES:
            one.rows += connection.execute(text(f"SELECT count(*) FROM {row.quoted}")).scalar_one()  # noqa: S608
        else:
            one.rows += row.rows
            one.about = True


def _oldest(connection: Connection, place: str) -> datetime | None:
    """The oldest moment of `schema.table.column`; None if there is none, or it takes too long to look for."""
    table, column = place.rsplit(".", 1)
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL statement_timeout = {OLDEST_MILLISECONDS}"))
            moment = connection.execute(text(f"SELECT min({column}) FROM {table}")).scalar()  # noqa: S608 of the list
    except DBAPIError:
        return None
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _files(settings: Settings, storage: Storage, kept: Kept, found: Held) -> None:
    until = time.monotonic() + WALK_SECONDS
    sizes = [_local(settings.home, pattern) for pattern in kept.home if pattern not in ("postgres", "storage")]
    sizes += [_stored(storage, pattern) for pattern in kept.storage]
    for listed in sizes:
        for size, written in listed:
            found.files += 1
            found.bytes += size
            if kept.oldest is None and written and (found.oldest is None or written < found.oldest):
                found.oldest = written
            if time.monotonic() > until:
                found.about = True
                return


def _local(root: Path, pattern: str) -> Iterator[tuple[int, datetime | None]]:
    for start in sorted(root.glob(pattern)):
        paths = [start] if start.is_file() else (Path(at, name) for at, _, names in os.walk(start) for name in names)
        for path in paths:
            try:
                facts = path.lstat()
            except OSError:  # removed meanwhile
                continue
            yield facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC)


def _stored(storage: Storage, pattern: str) -> Iterator[tuple[int, datetime | None]]:
    if storage.folder is not None:
        yield from _local(storage.folder, pattern)
        return
    first, *rest = pattern.split("/")
    try:
        for name in storage.names():
            if fnmatchcase(name, first):
                folder = storage.at(name, *rest).root
                with told(str(folder)):
                    found = folder.fs.find(folder.path, detail=True).values()
                yield from ((int(one["size"] or 0), remote.written_at(one)) for one in found)
    except StorageError:
        return
