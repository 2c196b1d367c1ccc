"""What was counted for comparisons that ended long ago: users by variant (`exposure`), requests (`traffic`), `units`.

Every look that was decided by is in the ledger with its numbers, and stays. These tables let a look be computed again,
which also needs the raw log, and that is gone long before. Rows go in short transactions, whichever table they are in:
users first, who are the many, so that the kill of a round leaves counts that are still known to be of an old rollout.
"""

from __future__ import annotations

from sqlalchemy import text

from mlops_assets.retention.round import Round, Swept

BATCH = 10_000
# A dry run says "at least" from here on.
MOST_COUNTED = 1_000_000
TABLES = ("mlops.exposure", "mlops.units", "mlops.traffic")
# The newest rollout of a product may be asked for at any time.
_OLD = """
SELECT product, rollout FROM mlops.ledger WHERE rollout IS NOT NULL GROUP BY 1, 2
HAVING max(created_at) < :before
  AND rollout < (SELECT max(newest.rollout) FROM mlops.ledger AS newest WHERE newest.product = ledger.product)
ORDER BY 1, 2
"""
_COUNT = """
SELECT count(*) FROM (SELECT 1 FROM {table} WHERE product = :product AND rollout = :rollout LIMIT :most) AS counted
"""
_DELETE = """
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM {table} WHERE product = :product AND rollout = :rollout LIMIT :batch))
"""


def sweep(work: Round) -> Swept:
    """Remove the counts of rollouts whose last decision is older than `MLOPS_RUN_DAYS`. Raises SQLAlchemyError."""
    with work.database.engine.connect() as connection:
        old = connection.execute(text(_OLD), {"before": work.before(work.settings.run_days)}).all()
    done = Swept()
    for product, rollout in old:
        for table in TABLES:
            done += _of(work, table, {"product": product, "rollout": rollout})
            if done.unfinished:
                return done
    return done


def _of(work: Round, table: str, asked: dict[str, object]) -> Swept:
    if not work.apply:
        with work.database.engine.connect() as connection:
            found = connection.execute(text(_COUNT.format(table=table)), asked | {"most": MOST_COUNTED}).scalar_one()
        return Swept(removed=found, unfinished=found == MOST_COUNTED)
    removed = 0
    while not work.over:
        with work.database.engine.begin() as connection:
            gone = connection.execute(text(_DELETE.format(table=table)), asked | {"batch": BATCH}).rowcount
        removed += gone
        if gone < BATCH:
            return Swept(removed=removed)
    return Swept(removed=removed, unfinished=True)
