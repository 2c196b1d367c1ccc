"""What the attempts of a period add up to: by product, stage or job, and in all.

Add a sum here with its column in `figures.Sums`. Keep out single attempts and removal (`queries`). Runs are counted by
statements of their own: distinct ones beside sums would have the database sort every attempt for each group. Two of
the statements go over every attempt, which takes a third of a second for 300,000; so they are asked at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, text

from mlops_assets.observability.usage.figures import By, Prices, Usage
from mlops_assets.observability.usage.queries import GOING, RUNNING, Period

if TYPE_CHECKING:
    from mlops_assets.storage.database import Database

# Enough for the distinct runs of a month in memory; on disk they take three times as long.
MEMORY = "SET LOCAL work_mem = '64MB'"
ONE_STATE = "REPEATABLE READ"
# Of the ten connections of a process.
MOST_BESIDE = 3
_ROOM = threading.BoundedSemaphore(MOST_BESIDE)
_GROUPS: dict[By, str] = {"product": "kind, product", "stage": "kind, product, stage", "job": "kind, product, job"}
_IN_PERIOD = "u.started_at >= :since AND u.started_at < :until"
_SUMS = """
SELECT {names}, grouping(product) AS is_every, count(*) AS attempts,
  count(*) FILTER (WHERE outcome = 'FAILURE') AS failed,
  count(*) FILTER (WHERE outcome = 'RETRY') AS retried,
  count(*) FILTER (WHERE outcome = 'CANCELED') AS canceled,
  count(*) FILTER (WHERE outcome IS NULL) AS unended,
  coalesce(sum(wall_seconds), 0) AS wall_seconds, coalesce(sum(cpu_seconds), 0) AS cpu_seconds,
  coalesce(max(peak_memory_bytes), 0) AS peak_memory_bytes,
  coalesce(sum(peak_memory_bytes * wall_seconds), 0) AS byte_seconds,
  coalesce(sum(read_bytes), 0)::bigint AS read_bytes, coalesce(sum(written_bytes), 0)::bigint AS written_bytes,
  max(started_at) AS last_started_at
FROM mlops.stage_usage AS u WHERE {period} GROUP BY GROUPING SETS (({names}), ())"""
# Place 0 is everything together.
_PAGE = """
WITH sums AS ({sums}), placed AS (
  SELECT *, count(*) OVER () - 1 AS total, row_number() OVER (
    ORDER BY is_every DESC, cpu_seconds * :cpu_price + byte_seconds * :byte_price DESC, {names}) - 1 AS place FROM sums
)
SELECT * FROM placed WHERE place = 0 OR place > :offset AND place - :offset <= :limit ORDER BY place"""
# A run may be in several groups, so all runs are not the sum of theirs; the row without names counts those.
_RUNS = """
WITH of_runs AS MATERIALIZED (SELECT DISTINCT {names}, run_id FROM mlops.stage_usage AS u WHERE {period})
SELECT {names}, count(*) FROM of_runs GROUP BY {names}
UNION ALL SELECT {nothing}, count(*) FROM (SELECT DISTINCT run_id FROM of_runs) AS every_run"""
_RUNNING = "WITH {running} SELECT {names}, count(*) FROM running GROUP BY {names}"


Counts = dict[tuple[str | None, ...], int]


class Found(NamedTuple):
    """Some of the sums, how many there are, and the sums of everything: the columns of `Usage` without names."""

    items: list[Usage]
    total: int
    every: dict[str, Any]


def used(database: Database, period: Period, by: By, prices: Prices, *, limit: int = 500, offset: int = 0) -> Found:
    """The sums of a period, the dearest first. Raises SQLAlchemyError."""
    names = _GROUPS[by].split(", ")
    asked = {
        "since": period.since,
        "until": period.until,
        "going": list(GOING),
        "cpu_price": prices.cost(1, 0),
        "byte_price": prices.cost(0, 1),
        "limit": limit,
        "offset": offset,
    }
    # One state of the table for all statements.
    with database.engine.connect().execution_options(isolation_level=ONE_STATE) as on, on.begin():
        on.execute(text(MEMORY))
        with _counting(database, on, _statement(_RUNS, names), asked) as counted:
            page = [dict(row) for row in on.execute(text(_statement(_PAGE, names)), asked).mappings()]
            running = _counts(on, _statement(_RUNNING, names), asked)
            runs = counted()
    every, *items = page
    found = [item | _counted(item, runs, running, names) for item in items]
    every |= {"runs": runs[(None,) * len(names)], "running": sum(running.values())}
    for row in (every, *found):
        row["lost"] = row["unended"] - row["running"]
    unnamed = {"stage": None, "job": None}
    return Found([Usage(**unnamed | row) for row in found], every["total"], every)


def _counted(item: dict[str, Any], runs: Counts, running: Counts, names: Sequence[str]) -> dict[str, int]:
    group = tuple(item[name] for name in names)
    return {"runs": runs[group], "running": running.get(group, 0)}


def _statement(template: str, names: Sequence[str]) -> str:
    listed = ", ".join(names)
    return template.format(
        names=listed,
        nothing=", ".join("NULL" for _ in names),
        period=_IN_PERIOD,
        running=RUNNING.format(where=_IN_PERIOD),
        sums=_SUMS.format(names=listed, period=_IN_PERIOD),
    )


@contextmanager
def _counting(
    database: Database, on: Connection, statement: str, asked: dict[str, Any]
) -> Iterator[Callable[[], Counts]]:
    """`_counts` of the same state of the table, begun on another connection; on this one when many others ask.

    Who holds a connection and waits for a second one could wait for somebody who does the same.
    """
    if not _ROOM.acquire(blocking=False):
        yield lambda: _counts(on, statement, asked)
        return
    try:
        state = str(on.scalar(text("SELECT pg_export_snapshot()")))
        with ThreadPoolExecutor(1) as thread:
            yield thread.submit(_counts_of, database, state, statement, asked).result
    finally:
        _ROOM.release()


def _counts_of(database: Database, state: str, statement: str, asked: dict[str, Any]) -> Counts:
    with database.engine.connect().execution_options(isolation_level=ONE_STATE) as on, on.begin():
        # It takes no parameter; the name is PostgreSQL's own.
        on.execute(text(f"SET TRANSACTION SNAPSHOT '{state}'"))
        on.execute(text(MEMORY))
        return _counts(on, statement, asked)


def _counts(on: Connection, statement: str, asked: dict[str, Any]) -> Counts:
    return {tuple(row[:-1]): row[-1] for row in on.execute(text(statement), asked)}
