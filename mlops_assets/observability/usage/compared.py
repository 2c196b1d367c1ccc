"""The last seven days of every stage beside the seven days before, from the table; what changed is decided elsewhere.

Keep out what counts as a change (`changes`). Only attempts that succeeded are compared: one that failed ended early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import text

from mlops_assets.observability.usage.changes import FEWEST, MEASURES, Change, Compared, Sample, changes, compared

if TYPE_CHECKING:
    from mlops_assets.storage.database import Database

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Comparison:
    """What changed since the week that ended at `middle`. `too_few`: stages with too few attempts in either week."""

    since: datetime
    middle: datetime
    until: datetime
    stages: int
    too_few: int
    changes: Sequence[Change]


def compare(database: Database, until: datetime) -> Comparison:
    """The week that ends at `until` beside the one before. Raises SQLAlchemyError."""
    asked = {"since": until - 2 * WEEK, "middle": until - WEEK, "until": until}
    weeks = _weeks(database, asked)
    found: list[Compared] = []
    samples: dict[Compared, tuple[Sample, Sample]] = {}
    for stage, (before, after) in weeks.items():
        for one in compared(stage, before, after):
            found.append(one)
            samples[one] = (before[one.measure], after[one.measure])
    few = sum(1 for sides in weeks.values() if min(map(_attempts, sides)) < FEWEST)
    return Comparison(**asked, stages=len(weeks), too_few=few, changes=changes(found, samples))


Week = dict[str, Sample]

# All at once, and medians here: asked of the database for each measure and week, they would take five times as long.
_WEEKS = f"""
    SELECT kind, product, stage, started_at >= :middle AS is_after,
      {", ".join(f"array_agg({name}) FILTER (WHERE {name} IS NOT NULL) AS {name}" for name in MEASURES)}
    FROM mlops.stage_usage
    WHERE outcome = 'SUCCESS' AND started_at >= :since AND started_at < :until
    GROUP BY kind, product, stage, started_at >= :middle"""  # noqa: S608 of the texts above


def _weeks(database: Database, asked: dict[str, datetime]) -> dict[tuple[str, str, str], tuple[Week, Week]]:
    found: dict[tuple[str, str, str], tuple[Week, Week]] = defaultdict(lambda: ({}, {}))
    with database.engine.connect() as connection:
        for row in connection.execute(text(_WEEKS), asked).mappings():
            week = found[row["kind"], row["product"], row["stage"]][row["is_after"]]
            week.update({name: row[name] for name in MEASURES if row[name]})
    return found


def _attempts(week: Week) -> int:
    return max((len(sample) for sample in week.values()), default=0)
