"""What shipped lines become in PostgreSQL: rows, their counts, and feedback joined to its prediction.

Add here a column or a count that follows from a journal line. Keep out files (`segments`) and pauses (`shipper`).
The lines go to the server as one JSON array and are taken apart there. Every count is of rows that were truly
inserted, in the same transaction, so lines that are shipped twice count once.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from inference.timed_connection import DatabaseDownError, RefusedError, TimedConnection

WAITING_HOURS = 24
# Days outside are told by a clock that is wrong; their rows stay in the default partition.
FIRST_DAY, LAST_DAY = date(2020, 1, 1), date(2100, 1, 1)
EPOCH = date(1970, 1, 1)
MS_A_DAY = 86_400_000
DAY_AGAIN_SECONDS = 60.0
LOCK_SECONDS = 2
# Every join here is by key. Before a table was ever analyzed the planner might prefer to hash all of the log.
OPTIONS = {"enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}

log = logging.getLogger(__name__)

# Milliseconds since 1970 in a UUID version 7, at the place where a service writes the id of a prediction.
_ID_TIME = re.compile(rb'^\{"k":"p","id":"([0-9a-f]{8})-([0-9a-f]{4})-7', re.MULTILINE)

# Numbers and rows become visible in the same order: the lock is taken first and kept until the commit.
_BEGIN = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('mlops.prediction_log')); SELECT nextval('mlops.batch')"

_LINES = """
WITH line AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(lines)s::jsonb) AS line(
    k text, id uuid, product text, at double precision, variant text, version int, assigned text, rollout int,
    step int, "user" text, features jsonb, output jsonb, ms real, request_id text, trace_id text, sample boolean,
    prediction_id uuid, type text, value double precision, text text)
), fresh AS (
  INSERT INTO mlops.prediction (id, product, at, variant, version, assigned, rollout, step, user_hash, features,
    output, latency_ms, request_id, trace_id, sample, batch)
  SELECT id, product, to_timestamp(at), variant, version, assigned, rollout, step, "user", features,
    output, ms, request_id, trace_id, coalesce(sample, false), %(batch)s
  FROM line WHERE k = 'p'
  ON CONFLICT DO NOTHING
  RETURNING product, at, variant, version, assigned, rollout, step, user_hash, latency_ms
), hours AS (
  INSERT INTO mlops.log_hour AS old (product, hour, predictions, feedback, max_batch)
  SELECT product, date_trunc('hour', at, 'UTC'), count(*), 0, %(batch)s FROM fresh GROUP BY 1, 2
  ON CONFLICT (product, hour) DO UPDATE SET predictions = old.predictions + excluded.predictions,
    max_batch = excluded.max_batch
), compared AS (
  SELECT * FROM fresh WHERE rollout IS NOT NULL AND step IS NOT NULL AND assigned IS NOT NULL
), counted AS (
  INSERT INTO mlops.traffic AS old (product, rollout, step, day, assigned, variant, version, latency_bucket,
    requests, anonymous, sum_ms, first_at, last_at)
  SELECT product, rollout, step, (at AT TIME ZONE 'UTC')::date, assigned, variant, version,
    mlops.latency_bucket(latency_ms), count(*), count(*) FILTER (WHERE user_hash IS NULL),
    sum(latency_ms::double precision), min(at), max(at)
  FROM compared GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
  ON CONFLICT (product, rollout, step, day, assigned, variant, version, latency_bucket) DO UPDATE SET
    requests = old.requests + excluded.requests, anonymous = old.anonymous + excluded.anonymous,
    sum_ms = old.sum_ms + excluded.sum_ms, first_at = least(old.first_at, excluded.first_at),
    last_at = greatest(old.last_at, excluded.last_at)
), split AS (
  -- An operator who forces a variant was not assigned by the split.
  SELECT * FROM compared WHERE assigned <> 'forced'
), seen AS (
  INSERT INTO mlops.exposure (product, rollout, step, user_hash, assigned, first_batch)
  SELECT DISTINCT ON (product, rollout, step, user_hash) product, rollout, step, user_hash, assigned, %(batch)s
  FROM split WHERE user_hash IS NOT NULL ORDER BY product, rollout, step, user_hash, at
  ON CONFLICT DO NOTHING
  RETURNING product, rollout, step, assigned
), added AS (
  INSERT INTO mlops.units AS old (product, rollout, step, assigned, n)
  SELECT product, rollout, step, assigned, count(*) FROM (
    SELECT product, rollout, step, assigned FROM seen
    UNION ALL SELECT product, rollout, step, assigned FROM split WHERE user_hash IS NULL
  ) AS unit GROUP BY 1, 2, 3, 4
  ON CONFLICT (product, rollout, step, assigned) DO UPDATE SET n = old.n + excluded.n
), waiting AS (
  INSERT INTO mlops.feedback_waiting (id, prediction_id, product, at, type, value, text)
  SELECT id, prediction_id, product, to_timestamp(at), type, value, text FROM line WHERE k = 'f'
  ON CONFLICT DO NOTHING
)
SELECT count(*) FILTER (WHERE k IN ('p', 'f')), (SELECT count(*) FROM fresh) FROM line
"""

# All feedback passes through feedback_waiting, so that what comes before its prediction takes the same way.
_JOIN_FEEDBACK = """
WITH found AS (
  DELETE FROM mlops.feedback_waiting AS given USING mlops.prediction AS p WHERE p.id = given.prediction_id
  RETURNING given.id, given.prediction_id, given.product, given.at, given.type, given.value, given.text,
    p.product AS predicted_for, p.variant, p.version, p.assigned, p.rollout, p.step, p.user_hash,
    p.at AS predicted_at, mlops.numeric_answer(p.output) AS estimate
), kept AS (
  INSERT INTO mlops.feedback (id, prediction_id, product, at, type, value, text, variant, version, assigned, rollout,
    step, user_hash, predicted_at, estimate, batch)
  SELECT id, prediction_id, product, at, type, value, text, variant, version, assigned, rollout, step, user_hash,
    predicted_at, estimate, %(batch)s
  FROM found WHERE product = predicted_for
  ON CONFLICT DO NOTHING
  RETURNING product, at
), hours AS (
  INSERT INTO mlops.log_hour AS old (product, hour, predictions, feedback, max_batch)
  SELECT product, date_trunc('hour', at, 'UTC'), 0, count(*), %(batch)s FROM kept GROUP BY 1, 2
  ON CONFLICT (product, hour) DO UPDATE SET feedback = old.feedback + excluded.feedback,
    max_batch = excluded.max_batch
)
SELECT (SELECT count(*) FROM kept),
  (SELECT jsonb_agg(found) FROM found WHERE product <> predicted_for),
  (SELECT count(*) FROM mlops.feedback_waiting) - (SELECT count(*) FROM found)
"""

_FAILURES = """
WITH fresh AS (
  INSERT INTO mlops.request_failure (request_id, at, product, assigned, rollout, step, status, flags, batch)
  SELECT request_id, at, product, assigned, rollout, step, status, flags, %(batch)s
  FROM jsonb_to_recordset(%(rows)s::jsonb) AS failed(request_id text, at timestamptz, product text, assigned text,
    rollout int, step int, status int, flags text)
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT count(*) FROM fresh
"""

_FORGET_WAITING = """
WITH gone AS (
  DELETE FROM mlops.feedback_waiting WHERE first_seen < clock_timestamp() - %(hours)s * interval '1 hour' RETURNING 1
)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True)
class Shipped:
    """Rows that one transaction inserted; `refused` feedback names a prediction of another product."""

    predictions: int = 0
    feedback: int = 0
    waiting: int = 0
    refused: tuple[dict[str, Any], ...] = ()


class LogDatabase:
    """The prediction log as its writer sees it. Every call raises DatabaseDownError or RefusedError."""

    def __init__(self, connection: TimedConnection) -> None:
        self._connection = connection
        self._days: set[date] = set()
        self._again_at = 0.0
        self._feedback_waits = True

    def ship(self, data: bytes, refused: Callable[[Sequence[dict[str, Any]]], None] = lambda rows: None) -> Shipped:
        """Insert lines, each ended by a newline, and what follows from them; all or nothing.

        `refused` is told before the commit, so that nothing it is told about is lost.
        """
        lines = data.count(b"\n")
        array = _json_array(data)
        self._ensure_days(_days_in(data))
        with self._transaction() as batch:
            known, predictions = self._connection.execute(_LINES, {"lines": array, "batch": batch})[0]
            if known != lines:
                raise RefusedError("unknown kind", 'a line is neither a prediction ("k":"p") nor feedback ("k":"f")')
            shipped = Shipped(predictions)
            if self._feedback_waits or b'"k":"f"' in data:
                shipped = self._join_feedback(predictions, batch)
                refused(shipped.refused)
        self._feedback_waits = shipped.waiting > 0
        return shipped

    @property
    def feedback_waits(self) -> bool:
        """Whether feedback may be waiting for predictions that others ship."""
        return self._feedback_waits

    def join_waiting(self, refused: Callable[[Sequence[dict[str, Any]]], None] = lambda rows: None) -> Shipped:
        """Give waiting feedback the predictions that other hosts' shippers have brought meanwhile."""
        with self._transaction() as batch:
            shipped = self._join_feedback(0, batch)
            refused(shipped.refused)
        self._feedback_waits = shipped.waiting > 0
        return shipped

    def ship_failures(self, rows: Sequence[dict[str, Any]]) -> int:
        """Insert failed requests; how many are new."""
        with self._transaction() as batch:
            return int(self._connection.execute(_FAILURES, {"rows": json.dumps(rows), "batch": batch})[0][0])

    def forget_waiting(self) -> int:
        """Drop feedback whose prediction did not come within a day; how many."""
        return int(self._connection.execute(_FORGET_WAITING, {"hours": WAITING_HOURS})[0][0])

    def prepare_days(self) -> None:
        """Partitions of today and tomorrow, so that none has to be made while rows wait for it."""
        today = datetime.now(UTC).date()
        self._ensure_days({today, today + timedelta(days=1)})

    def close(self) -> None:
        """Give up the connection."""
        self._connection.close()

    def _join_feedback(self, predictions: int, batch: int) -> Shipped:
        """Give waiting feedback its prediction; what is refused here is no fault of the lines being shipped."""
        self._connection.execute("SAVEPOINT join_feedback")
        try:
            kept, rows, waiting = self._connection.execute(_JOIN_FEEDBACK, {"batch": batch})[0]
        except RefusedError as error:
            log.error("waiting feedback can't be joined to its predictions: %s", error.kind)
            self._connection.execute("ROLLBACK TO SAVEPOINT join_feedback")
            return Shipped(predictions)
        return Shipped(predictions, kept, waiting, tuple(rows or ()))

    def _ensure_days(self, days: set[date]) -> None:
        """A partition that can't be made now (somebody reads the default one) is tried again later."""
        missing = sorted(days - self._days)
        if not missing or time.monotonic() < self._again_at:
            return
        for day in missing:
            connected = self._connection.connected
            try:
                self._connection.execute(
                    f"BEGIN; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; "
                    "SELECT mlops.ensure_prediction_day(%(day)s); COMMIT",
                    {"day": day},
                )
            except (DatabaseDownError, RefusedError):
                self._connection.close()
                if not connected:
                    raise
                self._again_at = time.monotonic() + DAY_AGAIN_SECONDS
                return
            self._days.add(day)

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        batch = int(self._connection.execute(_BEGIN)[0][0])
        try:
            yield batch
            self._connection.execute("COMMIT")
        except RefusedError:
            self._connection.execute("ROLLBACK")
            raise
        except BaseException:
            self._connection.close()
            raise


def _json_array(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise RefusedError("not UTF-8", f"not UTF-8: {error.reason}") from None
    if "\0" in text:
        raise RefusedError("zero byte", "a byte is zero: the end of a file after a power cut")
    return "[" + text.removesuffix("\n").replace("\n", ",") + "]"


def _days_in(data: bytes) -> set[date]:
    """UTC days of the predictions' ids, as far as they are plausible."""
    numbers = {int(high + low, 16) // MS_A_DAY for high, low in _ID_TIME.findall(data)}
    first, last = (FIRST_DAY - EPOCH).days, (LAST_DAY - EPOCH).days
    return {EPOCH + timedelta(days=number) for number in numbers if first <= number < last}
