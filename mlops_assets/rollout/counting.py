"""Counts of a rollout's requests and users, from the log's running counts or, for a replay, from its raw rows.

Both ways answer with the same rows, which a test compares. Add a count here in both. Keep out feedback (`ratings`)
and what the counts mean (`evidence`). Everything runs inside the caller's transaction, so it is one picture.
"""

# ruff: noqa: S608 (the statements are put together from constants of this file only)
from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from mlops_assets.rollout.state import State

# How far the clock of a service may be behind the ledger's; it only saves a replay from reading older rows.
CLOCKS_APART = timedelta(days=1)

_OF_ARM = "product = :product AND rollout = :rollout AND step IS NOT NULL AND assigned IN ('production', 'candidate')"
_RAW = f"mlops.prediction WHERE {_OF_ARM} AND at >= :since AND batch <= :watermark"
_OWN = "variant = assigned AND version = CASE assigned WHEN 'candidate' THEN :candidate ELSE :production END"
_UTC_DAY = "(at AT TIME ZONE 'UTC')::date"

_TRAFFIC = f"""
SELECT assigned, {_OWN} AS own, step, day, latency_bucket, sum(requests)::bigint, sum(sum_ms),
  min(first_at), max(last_at)
FROM mlops.traffic WHERE {_OF_ARM} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
_TRAFFIC_RAW = f"""
SELECT assigned, {_OWN} AS own, step, {_UTC_DAY} AS day, mlops.latency_bucket(latency_ms), count(*),
  sum(latency_ms::double precision), min(at), max(at)
FROM {_RAW} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
_FAILURES = f"""
SELECT assigned, step, {_UTC_DAY} AS day, count(*), min(at), max(at)
FROM mlops.request_failure WHERE {_OF_ARM} AND batch <= :watermark
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_UNITS = f"SELECT step, assigned, n FROM mlops.units WHERE {_OF_ARM} ORDER BY 1, 2"
# A user's arm in a step is that of the first request that came into the log, as in mlops.exposure.
_EXPOSED_RAW = f"""(
  SELECT DISTINCT ON (step, user_hash) step, user_hash, assigned FROM (
    SELECT step, user_hash, assigned, min(ARRAY[batch, (extract(epoch FROM at) * 1000000)::bigint]) AS came
    FROM {_RAW} AND user_hash IS NOT NULL GROUP BY 1, 2, 3
  ) AS arm ORDER BY step, user_hash, came
) AS exposed"""
_UNITS_RAW = f"""
SELECT step, assigned, sum(n)::bigint FROM (
  SELECT step, assigned, count(*) AS n FROM {_EXPOSED_RAW} GROUP BY 1, 2
  UNION ALL SELECT step, assigned, count(*) FROM {_RAW} AND user_hash IS NULL GROUP BY 1, 2
) AS units GROUP BY 1, 2 ORDER BY 1, 2
"""
# A user who was seen in several steps is one user.
_USERS = f"""
SELECT assigned, sum(n)::bigint FROM (
  SELECT assigned, count(DISTINCT user_hash) AS n FROM mlops.exposure WHERE {_OF_ARM} GROUP BY 1
  UNION ALL SELECT assigned, sum(anonymous) FROM mlops.traffic WHERE {_OF_ARM} GROUP BY 1
) AS users GROUP BY 1
"""
_USERS_RAW = f"""
SELECT assigned, sum(n)::bigint FROM (
  SELECT assigned, count(DISTINCT user_hash) AS n FROM {_EXPOSED_RAW} GROUP BY 1
  UNION ALL SELECT assigned, count(*) FROM {_RAW} AND user_hash IS NULL GROUP BY 1
) AS users GROUP BY 1
"""
_SHARES = """
SELECT step, max(candidate_share) FROM mlops.ledger
WHERE product = :product AND rollout = :rollout AND seq <= :seq AND candidate_share > 0 GROUP BY 1
"""
_NEWEST_BATCH = """
SELECT greatest(
  (SELECT max(max_batch) FROM mlops.log_hour WHERE product = :product),
  (SELECT max(batch) FROM mlops.request_failure WHERE product = :product AND rollout = :rollout), 0)
"""


class Answered(NamedTuple):
    """Answered requests of one arm, step, UTC day and latency bucket; `own`: by the release of that arm."""

    assigned: str
    own: bool
    step: int
    day: date
    bucket: int
    requests: int
    sum_ms: float
    first_at: datetime
    last_at: datetime


class Unanswered(NamedTuple):
    """Requests of one arm, step and UTC day that nobody answered."""

    assigned: str
    step: int
    day: date
    requests: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class Counts:
    """What the log holds of a rollout. `units` is by (step, arm), `users` by arm, `shares` by step."""

    answered: tuple[Answered, ...]
    unanswered: tuple[Unanswered, ...]
    units: dict[tuple[int, str], int]
    users: dict[str, int]
    shares: dict[int, float]


def newest_batch(connection: Connection, state: State) -> int:
    """The newest batch of the log that this transaction can see; batches become visible in order."""
    given = {"product": state.product, "rollout": state.rollout}
    return int(connection.execute(text(_NEWEST_BATCH), given).scalar_one())


def count(connection: Connection, state: State, watermark: int, *, raw: bool) -> Counts:
    """Counts up to batch `watermark`, which must be the newest one unless `raw`."""
    began = state.started_at
    given = {
        "product": state.product,
        "rollout": state.rollout,
        "candidate": state.candidate,
        "production": state.production,
        "seq": state.seq,
        "watermark": watermark,
        "since": began - CLOCKS_APART if began is not None else datetime.min,
    }

    def rows(statement: str) -> list[Any]:
        return [tuple(row) for row in connection.execute(text(statement), given)]

    units = {(step, arm): n for step, arm, n in rows(_UNITS_RAW if raw else _UNITS)}
    if len({step for step, _ in units}) <= 1:
        users = {arm: n for (_, arm), n in units.items()}
    else:
        users = dict(rows(_USERS_RAW if raw else _USERS))
    return Counts(
        answered=tuple(Answered(*row) for row in rows(_TRAFFIC_RAW if raw else _TRAFFIC)),
        unanswered=tuple(Unanswered(*row) for row in rows(_FAILURES)),
        units=units,
        users=users,
        shares=dict(rows(_SHARES)),
    )
