"""Rows of a query as a Parquet file, streamed: a table of any size needs the memory of one chunk.

Add here a kind of column. Keep out which rows and columns are written, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

CHUNK_ROWS = 20_000
# Column → (SQL expression, kind). A kind is Arrow's name of a type, "time" for a moment, or "wall" for a time of no
# zone; both come as microseconds since 1970, which Arrow takes without parsing.
Columns = dict[str, tuple[str, str]]
MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"


def write_rows(
    connection: Connection,
    columns: Columns,
    source: str,
    values: Mapping[str, Any],
    path: Path,
    each: Callable[[pa.RecordBatch], None] | None = None,
) -> int:
    """Write `SELECT columns FROM source` with bound values; how many rows. `each` sees every chunk as it is written.

    `source` and the expressions are the program's own, never from outside. Raises SQLAlchemyError, OSError.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sqlalchemy import text as sql

    schema = pa.schema([(name, _arrow_type(kind)) for name, (_, kind) in columns.items()])
    expressions = ", ".join(expression for expression, _ in columns.values())
    rows = connection.execute(
        sql(f"SELECT {expressions} FROM {source}"),  # noqa: S608
        values,
        execution_options={"stream_results": True, "max_row_buffer": CHUNK_ROWS},
    )
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for chunk in rows.partitions(CHUNK_ROWS):
            by_column = zip(*chunk, strict=True)
            batch = pa.record_batch([_array(v, f.type) for v, f in zip(by_column, schema, strict=True)], schema=schema)
            writer.write_batch(batch)
            written += batch.num_rows
            if each is not None:
                each(batch)
    return written


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    if kind in ("time", "wall"):
        return pa.timestamp("us", tz="UTC" if kind == "time" else None)
    return pa.type_for_alias(kind)


def _array(values: tuple[Any, ...], kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)
