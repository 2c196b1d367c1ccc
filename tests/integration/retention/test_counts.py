"""Counts of rollouts that ended long ago go in batches; those that may be asked for stay."""

from __future__ import annotations

import pytest

from mlops_assets.retention import rollout_counts
from mlops_assets.retention.round import Swept
from tests.integration.retention.old_platform import PRODUCT, OldPlatform

LEDGER = """
INSERT INTO mlops.ledger (product, seq, event, candidate_share, rollout, phase, step, paused, actor, reason, details,
  created_at)
VALUES (:product, :rollout, 'x', 0, :rollout, 'done', 0, false, 'a', 'r', '{}', now() - make_interval(days => :days))
"""
EXPOSED = """
INSERT INTO mlops.exposure (product, rollout, step, user_hash, assigned, first_batch)
SELECT :product, :rollout, 0, 'u' || n, 'candidate', 1 FROM generate_series(1, 25) AS n
"""
UNITS = "INSERT INTO mlops.units (product, rollout, step, assigned, n) VALUES (:product, :rollout, 0, 'candidate', 25)"
LEFT = "SELECT rollout, count(*) FROM mlops.exposure GROUP BY 1 ORDER BY 1"


@pytest.fixture
def rolled(old: OldPlatform) -> OldPlatform:
    """Two rollouts of long ago, a third of this year."""
    for rollout, days in ((1, 700), (2, 600), (3, 20)):
        old.execute(LEDGER, product=PRODUCT, rollout=rollout, days=days)
        old.execute(EXPOSED, product=PRODUCT, rollout=rollout)
        old.execute(UNITS, product=PRODUCT, rollout=rollout)
    return old


def test_users_of_old_rollouts_go_in_short_transactions(rolled: OldPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_counts, "BATCH", 10)
    assert rollout_counts.sweep(rolled.round(apply=False)) == Swept(removed=52)
    assert rollout_counts.sweep(rolled.round()) == Swept(removed=52)
    assert rolled.rows(LEFT) == [(3, 25)]
    assert rolled.rows("SELECT rollout FROM mlops.units") == [(3,)]
    assert rollout_counts.sweep(rolled.round()) == Swept()


def test_the_newest_rollout_stays_however_old(rolled: OldPlatform) -> None:
    rolled.execute("UPDATE mlops.ledger SET created_at = now() - interval '900 days'")
    rollout_counts.sweep(rolled.round())
    assert rolled.rows(LEFT) == [(3, 25)]


def test_one_that_there_is_no_time_for_waits(rolled: OldPlatform) -> None:
    assert rollout_counts.sweep(rolled.round(seconds=0)) == Swept(unfinished=True)
    assert rolled.rows(LEFT) == [(1, 25), (2, 25), (3, 25)]
