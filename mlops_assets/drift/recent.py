"""The last hours of live data as a sample, straight from the tables of the prediction log.

For a look at any moment; a day that is kept is read from files (`days`). Add here what both should know. Keep out the
comparison (`judge`). PostgreSQL chooses the rows, so only the sample leaves it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_assets.drift.facts import Monitored
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.drift.sample import ERROR, ESTIMATE, Sample, features, framed, scored, scores

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mlops_assets.storage.database import Database

STATEMENT_SECONDS = 120
MOST_HOURS = 24 * 366

# Of a known user the request itself is hashed, so that equal ones are one row; of another the id. Both are chosen by
# the smallest hashes.
_SPAN = "product = :product AND at > clock_timestamp() - make_interval(secs => :seconds)"
_KEY = "hashtextextended(CASE WHEN user_hash IS NULL THEN id::text ELSE user_hash || features::text END, :seed)"
_COUNT = f"SELECT count(*) FROM mlops.prediction WHERE {_SPAN}"  # noqa: S608 (constants of this file)
_ASKED = f"""
SELECT p.features FROM (
  SELECT min(id::text)::uuid AS id FROM mlops.prediction WHERE {_SPAN} GROUP BY {_KEY} ORDER BY {_KEY} LIMIT :most
) AS chosen JOIN mlops.prediction AS p USING (id) ORDER BY id
"""  # noqa: S608
_ANSWERED = f"""
SELECT mlops.numeric_answer(p.output) FROM (
  SELECT min(id::text)::uuid AS id FROM mlops.prediction WHERE {_SPAN} AND version = :release
  GROUP BY {_KEY} ORDER BY {_KEY} LIMIT :most
) AS chosen JOIN mlops.prediction AS p USING (id) ORDER BY id
"""  # noqa: S608
_VALUED = f"""
SELECT abs(estimate - value) / value FROM (
  SELECT id, estimate, value FROM mlops.feedback_current
  WHERE {_SPAN} AND type = 'actual_price' AND version = :release AND value > 0 AND estimate IS NOT NULL
  ORDER BY hashtextextended(prediction_id::text, :seed) LIMIT :most
) AS chosen ORDER BY id
"""  # noqa: S608


def read_recent(
    database: Database,
    product: str,
    hours: float,
    monitored: Sequence[Monitored],
    release: int,
    policy: DriftPolicy,
) -> Sample:
    """What was asked in the last `hours`; estimates and errors of the answers of `release` only, as `read_day` does.

    Raises ValueError for a span that isn't between 0 and a year.
    """
    from sqlalchemy import text as sql

    if not 0 < hours <= MOST_HOURS:
        raise ValueError(f"hours: {hours:g} given; more than 0, {MOST_HOURS:,} at most")
    where = {
        "product": product,
        "seconds": hours * 3600.0,
        "seed": policy.seed,
        "release": release,
        "most": policy.sample_rows,
    }
    columns, names = features(monitored), scores(monitored)
    with (
        database.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection,
        connection.begin(),
    ):
        connection.execute(sql(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
        logged = int(connection.execute(sql(_COUNT), where).scalar_one())
        asked = [given for (given,) in connection.execute(sql(_ASKED), where)]
        known = {ESTIMATE: _floats(connection, _ANSWERED, where)}
        if ERROR in names:
            known[ERROR] = _floats(connection, _VALUED, where)
    values = {column.name: [given.get(column.name) for given in asked] for column in columns}
    return Sample(rows=framed(columns, values), scored=scored(names, known), logged_rows=logged)


def _floats(connection: Connection, query: str, where: dict[str, object]) -> list[float]:
    from sqlalchemy import text as sql

    found = [value for (value,) in connection.execute(sql(query), where) if value is not None]
    return [value for value in found if math.isfinite(value)]
