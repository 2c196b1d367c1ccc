"""An answer that has left the database, found again in the hourly files of the log.

Keep out rows of the database (`records`). An id holds the time it was made at, so one file is opened, and of that the
parts that may hold the id. Add here another file that outlives the database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_assets.observability.trace.facts import Answer, FeedbackGiven, KeptIn
from mlops_assets.observability.trace.records import answer_of
from mlops_assets.prediction_log.exporting import FEEDBACK, PREDICTIONS, folder_of
from mlops_assets.storage.files import MissingFileError, Storage, StorageError, told
from mlops_assets.storage.local_file import local_file

# A batch is logged when all of it is answered: its rows may be of the hour after their ids.
ANSWERED_SECONDS = 10

_ANSWER = (
    *("id", "product", "at", "variant", "version", "assigned", "rollout", "step", "latency_ms", "request_id"),
    *("trace_id", "sample", "user_hash", "features", "output"),
)
_FEEDBACK = ("prediction_id", "type", "value", "text", "at")


def hours_of(moment: datetime) -> list[datetime]:
    """The hours whose file may hold an answer whose id was made at `moment`."""
    first = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    later = moment + timedelta(seconds=ANSWERED_SECONDS)
    return [first] if later < first + timedelta(hours=1) else [first, first + timedelta(hours=1)]


def answer(storage: Storage, product: str, hour: datetime, identifier: str) -> Answer | None:
    """The answer, if the hour's file has it; files from before traces were kept have none.

    Raises StorageError: the file can't be read.
    """
    rows = _rows(storage, product, hour, PREDICTIONS, _ANSWER, "id", identifier)
    if not rows:
        return None
    row: dict[str, Any] = {name: rows[0].get(name) for name in _ANSWER}
    given = {"features": json.loads(row["features"]), "output": json.loads(row["output"])}
    return answer_of({**row, **given, "latency_ms": float(row["latency_ms"])}, KeptIn.HOURLY_FILE)


def feedback(storage: Storage, product: str, hour: datetime, identifier: str) -> tuple[FeedbackGiven, ...]:
    """Feedback on the answer that was given in the hour. Raises StorageError."""
    rows = _rows(storage, product, hour, FEEDBACK, _FEEDBACK, "prediction_id", identifier)
    return tuple(FeedbackGiven(r["type"], r["value"], r["text"], r["at"].astimezone(UTC)) for r in rows)


def _rows(
    storage: Storage, product: str, hour: datetime, name: str, columns: Sequence[str], key: str, value: str
) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = folder_of(storage, product, hour)
    try:
        with local_file(folder, name) as path, told(folder.locate(name)):
            there = pq.read_schema(path).names
            wanted = [column for column in columns if column in there]
            rows: list[dict[str, Any]] = pq.read_table(path, columns=wanted, filters=[(key, "=", value)]).to_pylist()
            return rows
    except MissingFileError:
        return []
    except pa.ArrowException as error:
        raise StorageError(f"{folder.locate(name)}: not a readable Parquet file: {error}") from error
