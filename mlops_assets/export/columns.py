"""A table's columns as the database tells them, each with how it is read and what it becomes in a Parquet file.

Add a type here when a table has one that isn't known. Keep out which tables are exported.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from mlops_assets.backup.record import BackupError
from mlops_assets.export.tables import Exported
from mlops_assets.storage.parquet_rows import MICROSECONDS, Columns

# PostgreSQL's type → (SQL of a column, kind). JSON stays text: its numbers are exact there.
TYPES = {
    **dict.fromkeys(("text", "varchar", "bpchar", "uuid", "json", "jsonb"), ("{}::text", "string")),
    **dict.fromkeys(("_text", "_varchar"), ("array_to_json({})::text", "string")),
    "bool": ("{}", "bool"),
    "int2": ("{}", "int16"),
    "int4": ("{}", "int32"),
    "int8": ("{}", "int64"),
    "float4": ("{}", "float32"),
    "float8": ("{}", "float64"),
    "date": ("{}", "date32"),
    "timestamptz": (MICROSECONDS, "time"),
    "timestamp": (MICROSECONDS, "wall"),
}
_COLUMNS = """
SELECT column_name AS name, udt_name AS type FROM information_schema.columns
WHERE table_schema || '.' || table_name = :table ORDER BY ordinal_position
"""


def columns_of(connection: Connection, exported: Exported) -> Columns:
    """The columns of its file; none if there is no such table. Raises BackupError for a type that isn't known."""
    found: Columns = {}
    for name, kind in connection.execute(text(_COLUMNS), {"table": exported.table}).all():
        if name in exported.but:
            continue
        if kind not in TYPES:
            raise BackupError(f"{exported.table}.{name}: columns of type {kind} can't be exported yet")
        expression, becomes = TYPES[kind]
        found[name] = (expression.format(f't."{name}"'), becomes)
    return found | {name: (expression, kind) for name, expression, kind in exported.more} if found else {}
