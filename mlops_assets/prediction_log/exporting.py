"""One hour of a product's prediction log as two Parquet files, read in one snapshot and replaced as wholes.

Add here what a file of the log holds. Keep out Dagster (`component`), which hours are due (`hours`) and what is
deleted (`retention`). Rows stream from the server to the file: an hour of any size needs the memory of one chunk.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.storage.files import Storage
from mlops_assets.storage.parquet_rows import MICROSECONDS, Columns, write_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

    from mlops_assets.storage.database import Database

HOUR = timedelta(hours=1)
STATEMENT_SECONDS = 600
PREVIEW_ROWS = 8
MOST_FEATURES = 300
PREDICTIONS, FEEDBACK = "predictions.parquet", "feedback.parquet"

_ASSIGNED: Columns = {
    "variant": ("variant", "string"),
    "version": ("version", "int32"),
    "assigned": ("assigned", "string"),
    "rollout": ("rollout", "int32"),
    "step": ("step", "int32"),
    "user_hash": ("user_hash", "string"),
}
_PREDICTION: Columns = {
    "id": ("id::text", "string"),
    "product": ("product", "string"),
    "at": (MICROSECONDS.format("at"), "time"),
    **_ASSIGNED,
    "estimate": ("mlops.numeric_answer(output)", "float64"),
    "latency_ms": ("latency_ms", "float64"),
    "request_id": ("request_id", "string"),
    "trace_id": ("trace_id", "string"),
    "sample": ("sample", "bool"),
    "batch": ("batch", "int64"),
    "features": ("features::text", "string"),
    "output": ("output::text", "string"),
}
_FEEDBACK: Columns = {
    "id": ("id::text", "string"),
    "prediction_id": ("prediction_id::text", "string"),
    "product": ("product", "string"),
    "at": (MICROSECONDS.format("at"), "time"),
    "type": ("type", "string"),
    "value": ("value", "float64"),
    "text": ("text", "string"),
    **_ASSIGNED,
    "predicted_at": (MICROSECONDS.format("predicted_at"), "time"),
    "estimate": ("estimate", "float64"),
    "batch": ("batch", "int64"),
}

_FEATURE_KINDS = """
SELECT key, array_agg(DISTINCT jsonb_typeof(value)) FROM mlops.prediction, jsonb_each(features)
WHERE product = :product AND at >= :start AND at < :end GROUP BY key ORDER BY key LIMIT :most
"""
_FEATURE = {
    "float64": "CASE WHEN jsonb_typeof(features->:{0}) = 'number' AND abs((features->:{0})::numeric) < 1e308 "
    "THEN (features->:{0})::double precision END",
    "bool": "CASE WHEN jsonb_typeof(features->:{0}) = 'boolean' THEN (features->:{0})::boolean END",
    "string": "features->>:{0}",
}

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('mlops.log_export'), hashtext(:product || ' ' || :hour))"
_RECORDED = "SELECT predictions, feedback FROM mlops.log_export WHERE product = :product AND hour = :hour"
_RECORD = """
INSERT INTO mlops.log_export (product, hour, predictions, feedback, uri, max_batch, exported_at)
VALUES (:product, :hour, :predictions, :feedback, :uri, :max_batch, clock_timestamp())
ON CONFLICT (product, hour) DO UPDATE SET predictions = excluded.predictions, feedback = excluded.feedback,
  uri = excluded.uri, max_batch = excluded.max_batch, exported_at = excluded.exported_at
"""


class ExportError(RuntimeError):
    """The hour can't be exported. `transient`: it may be later."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


@dataclass(frozen=True)
class Exported:
    """What the files of one hour hold; `preview` are their first predictions, `variants` predictions by variant."""

    hour: datetime
    uri: str
    predictions: int
    feedback: int
    max_batch: int
    variants: Mapping[str, int]
    preview: Sequence[Mapping[str, Any]] = field(default=(), repr=False)


@dataclass
class _Written:
    rows: int = 0
    max_batch: int = 0
    variants: Counter[str] = field(default_factory=Counter)
    preview: list[dict[str, Any]] = field(default_factory=list)


def folder_of(storage: Storage, product: str, hour: datetime) -> Storage:
    """`<product>/prediction_log/date=YYYY-MM-DD/hour=HH` of the storage, by UTC."""
    utc = hour.astimezone(UTC)
    return storage.at(product, "prediction_log", f"date={utc:%Y-%m-%d}", f"hour={utc:%H}")


def export_hour(database: Database, storage: Storage, product: str, hour: datetime) -> Exported:
    """Write the predictions made and the feedback given in the hour that begins at `hour`, and record it.

    Running it again replaces the files by what the log holds then. Raises ExportError: another run exports the
    same hour now, or its rows were removed since (the files that hold them stay as they are).
    """
    from sqlalchemy import text as sql

    if hour != hour.astimezone(UTC).replace(minute=0, second=0, microsecond=0):
        raise ExportError(f"hour {hour}: give the beginning of an hour")
    folder = folder_of(storage, product, hour)
    uri = folder.url
    with (
        tempfile.TemporaryDirectory(prefix="mlops-log-") as temporary,
        database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
    ):
        connection.execute(sql(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
        if not connection.execute(sql(_LOCK), {"product": product, "hour": hour.isoformat()}).scalar():
            raise ExportError(f"hour {hour:%Y-%m-%d %H}: another run exports it now", transient=True)
        local = Path(temporary)
        where = {"product": product, "start": hour, "end": hour + HOUR}
        columns, names = _with_features(connection, where)
        predictions = _write(connection, "mlops.prediction", columns, where | names, local / PREDICTIONS)
        feedback = _write(connection, "mlops.feedback", _FEEDBACK, where, local / FEEDBACK)
        before = connection.execute(sql(_RECORDED), {"product": product, "hour": hour}).one_or_none()
        if before is not None and (predictions.rows < before[0] or feedback.rows < before[1]):
            raise ExportError(
                f"hour {hour:%Y-%m-%d %H}: {before[0]} predictions and {before[1]} feedbacks were exported, the log "
                f"holds {predictions.rows} and {feedback.rows} now; the files stay as they are"
            )
        for name in (PREDICTIONS, FEEDBACK):
            folder.write_file(name, local / name)
        max_batch = max(predictions.max_batch, feedback.max_batch)
        counts = {"predictions": predictions.rows, "feedback": feedback.rows, "max_batch": max_batch}
        connection.execute(sql(_RECORD), {"product": product, "hour": hour, "uri": uri, **counts})
    return Exported(hour, uri, predictions.rows, feedback.rows, max_batch, predictions.variants, predictions.preview)


def _with_features(connection: Connection, where: dict[str, Any]) -> tuple[Columns, dict[str, str]]:
    """The columns of this hour with `feature_<name>` for each feature, and the names bound in their SQL.

    A feature is a number or a truth value if it is never anything else in the hour, otherwise text; one without
    any value has no column.
    """
    from sqlalchemy import text as sql

    found = connection.execute(sql(_FEATURE_KINDS), where | {"most": MOST_FEATURES})
    columns, names = dict(_PREDICTION), {}
    for index, (name, kinds) in enumerate(found):
        given = set(kinds) - {"null"}
        if given:
            kind = {("number",): "float64", ("boolean",): "bool"}.get(tuple(given), "string")
            columns[f"feature_{name}"] = (_FEATURE[kind].format(f"name{index}"), kind)
            names[f"name{index}"] = name
    return columns, names


def _write(connection: Connection, table: str, columns: Columns, where: dict[str, Any], path: Path) -> _Written:
    done = _Written()
    source = f"{table} WHERE product = :product AND at >= :start AND at < :end ORDER BY at, id"
    done.rows = write_rows(connection, columns, source, where, path, partial(_note, done))
    return done


def _note(done: _Written, batch: pa.RecordBatch) -> None:
    import pyarrow.compute as pc

    done.max_batch = max(done.max_batch, pc.max(batch.column("batch")).as_py())
    done.variants.update({c["values"]: c["counts"] for c in batch.column("variant").value_counts().to_pylist()})
    if len(done.preview) < PREVIEW_ROWS:
        done.preview += batch.slice(0, PREVIEW_ROWS - len(done.preview)).to_pylist()
