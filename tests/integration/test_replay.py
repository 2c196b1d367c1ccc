"""Recorded looks computed again from the raw log: the same, whatever came later, and a clear word if not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from mlops_assets.rollout.looking import look_once
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.replay import replay
from mlops_assets.storage.database import Database
from tests.integration.rollouts import PRODUCT, Rollout, begun

POLICY = RolloutPolicy(error_maturity_days=0.5, min_hours=3)


@pytest.fixture
def rollout(database: Database) -> Rollout:
    """Four hours of traffic and ratings, each followed by a look; the last one promotes."""
    made = begun(database, policy=POLICY)
    first = made.log.at
    for hour in range(4):
        made.log.at = first + timedelta(hours=hour)
        for n in range(60):
            arm = "candidate" if n % 5 == 0 else "production"
            made.log.predict(arm, None if n % 11 == 0 else f"{arm}{hour}-{n}", ms=3.0 + (n * 31 % 89) * 1.7)
        for n in range(30):
            for quarter in range(4):
                made.log.rate("production", f"p{hour}-{n % 20}-{quarter}", 3.0 + n % 2)
            answer = made.log.rate("candidate", f"c{hour}-{n % 20}", 4.0 + n % 2)
        made.log.feedback(answer, "actual_price", 80.0)
        made.log.fail("production")
        made.log.ship()
        now = first + timedelta(hours=hour + 1, microseconds=123)
        look_once(made.ledger, database, PRODUCT, POLICY, now=now, key=f"look:1:{hour}")
    return made


def test_every_look_comes_out_the_same(rollout: Rollout, database: Database) -> None:
    looks = replay(rollout.ledger, database, PRODUCT)
    assert [look.recorded for look in looks] == ["continue", "continue", "promote"]
    assert [look.replayed for look in looks] == [look.recorded for look in looks]
    assert [look.difference for look in looks] == [None] * 3
    assert all(look.matches and look.same_code and look.rollout == 1 for look in looks)


def test_what_came_after_a_look_does_not_change_it(rollout: Rollout, database: Database) -> None:
    with database.engine.connect() as connection:
        rated = list(connection.execute(text("SELECT prediction_id FROM mlops.feedback WHERE type = 'rating'")))
    for (prediction,) in rated:
        rollout.log.feedback(prediction, "rating", 1.0, at=rollout.log.at + timedelta(hours=1))
    for n in range(50):
        rollout.log.predict("candidate", f"late{n}", ms=900.0)
    rollout.log.fail("candidate")
    rollout.log.ship()
    assert all(look.matches for look in replay(rollout.ledger, database, PRODUCT))


def test_lost_and_changed_rows_are_told_by_name(rollout: Rollout, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            text("DELETE FROM mlops.prediction WHERE user_hash = 'production0-1' AND assigned = 'production'")
        )
    looks = replay(rollout.ledger, database, PRODUCT)
    assert not any(look.matches for look in looks)
    # 48 + 120 of the first hour, and one that nobody answered.
    assert looks[0].difference == "production.requests: 169 was recorded, 168 is in the log"
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE mlops.feedback SET value = 1 WHERE user_hash = 'c0-1'"))
    assert "169 was recorded" in (replay(rollout.ledger, database, PRODUCT)[0].difference or "")


def test_a_rollout_that_never_was_is_refused(rollout: Rollout, database: Database) -> None:
    assert replay(rollout.ledger, database, "nothing") == []
    with pytest.raises(ValueError, match="no rollout 2; the newest is 1"):
        replay(rollout.ledger, database, PRODUCT, rollout=2)
