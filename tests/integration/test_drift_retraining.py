"""Retraining on drift from real verdicts, ledger, feedback and data versions; weeks in which no loop forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from mlops_assets.drift import retraining
from mlops_assets.drift.facts import Status
from mlops_assets.drift.policy import DriftPolicy
from mlops_assets.rollout import retraining as after_rollback
from mlops_assets.rollout.ledger import Ledger
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.storage.database import Database, DatasetVersion
from tests.integration.drifted_days import judge_day
from tests.integration.rollouts import PRODUCT, Rollout, begun
from tests.made_log import MadeLog

POLICY = DriftPolicy(retrain_labels=5)
ROLLOUTS = RolloutPolicy()


@pytest.fixture
def rollout(database: Database) -> Rollout:
    """Production 1; candidate 2 was withdrawn and nobody is to train for it."""
    made = begun(database)
    made.ledger.rollback(PRODUCT, actor="kim", reason="no", retrain=False)
    return made


def drifted(rollout: Rollout, hours: float = 100) -> datetime:
    """A moment with three drifted days before it."""
    now = rollout.ledger.release(PRODUCT, 2).created_at + timedelta(hours=hours)
    for count in (1, 2, 3):
        judge_day(rollout.database, now.date() - timedelta(days=count))
    return now


def label(log: MadeLog, count: int, times: int = 1, at: datetime | None = None) -> None:
    """`count` answers, each with its actual value told `times` times."""
    for n in range(count):
        answer = log.predict("production", f"user {n}")
        for _ in range(times):
            log.feedback(answer, "actual_price", 90.0, at=at)
        log.feedback(answer, "rating", 4.0, at=at)
    log.ship()


def add_version(database: Database, version: int, at: datetime | None = None) -> None:
    with database.session() as session, session.begin():
        row = {"product": PRODUCT, "version": version, "sha256": f"{version:064d}", "rows": 1, "uri": "u"}
        when = {"created_at": at} if at else {}
        session.add(DatasetVersion(**row, source="s", sample=False, **when))


def due(
    rollout: Rollout, now: datetime, labels: bool = True, cursor: str | None = None, policy: DriftPolicy = POLICY
) -> retraining.Seen:
    return retraining.due(rollout.database, PRODUCT, policy, cursor, now, labels)


def test_drift_with_enough_new_labels_asks_and_tells_of_them(rollout: Rollout) -> None:
    now = drifted(rollout)
    assert "0 of 5 actual values" in due(rollout, now).said
    label(rollout.log, 4)
    assert "4 of 5 actual values" in due(rollout, now).said
    label(rollout.log, 3)
    seen = due(rollout, now)
    assert seen.run_key == f"{PRODUCT}-drift-{now.date() - timedelta(days=1)}-2"
    assert "no data version" in due(rollout, now, labels=False).said, "it learns nothing from them"


def test_one_answer_with_many_actual_values_is_one(rollout: Rollout) -> None:
    now = drifted(rollout)
    label(rollout.log, 1, times=50)
    assert "1 of 5 actual values" in due(rollout, now).said


def test_labels_from_before_the_newest_release_or_the_last_request_do_not_count(rollout: Rollout) -> None:
    now = drifted(rollout)
    label(rollout.log, 6, at=rollout.ledger.release(PRODUCT, 2).created_at - timedelta(seconds=1))
    assert "0 of 5 actual values" in due(rollout, now).said
    label(rollout.log, 6)
    first = due(rollout, now)
    assert first.run_key is not None
    judge_day(rollout.database, now.date() + timedelta(days=2))
    later = due(rollout, now + timedelta(days=4), cursor=first.cursor)
    assert later.run_key is None
    assert "0 of 5 actual values" in later.said


def test_a_data_version_that_no_release_was_trained_on_is_new_data_once(rollout: Rollout) -> None:
    now = drifted(rollout)
    add_version(rollout.database, 2, at=now - timedelta(hours=1))
    first = due(rollout, now, labels=False)
    assert first.run_key is not None
    assert "data version V2" in first.said
    judge_day(rollout.database, now.date() + timedelta(days=2))
    again = due(rollout, now + timedelta(days=4), labels=False, cursor=first.cursor)
    assert again.run_key is None, "that version was tried and gave no release"
    assert "no new labelled data" in again.said


def test_a_version_that_is_new_by_its_live_labels_alone_is_no_new_version(rollout: Rollout) -> None:
    now = drifted(rollout)
    add_version(rollout.database, 2)
    with rollout.database.engine.begin() as connection:
        row = {"product": PRODUCT, "sha256": "7" * 64}
        connection.execute(
            text("INSERT INTO mlops.labelled_source VALUES (:product, :sha256, 2, 300, clock_timestamp())"), row
        )
    assert "0 of 5 actual values" in due(rollout, now).said


def test_a_rollback_that_asks_for_training_itself_goes_first(rollout: Rollout) -> None:
    now = drifted(rollout)
    label(rollout.log, 6)
    rollout.ledger.promote(PRODUCT, "kim", "up", version=2)
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="down")
    at = rollout.ledger.history(PRODUCT)[0].created_at
    own = after_rollback.due(rollout.database, PRODUCT, ROLLOUTS, None, at + timedelta(hours=25))
    assert own.seq is not None
    waits = due(rollout, now=at + timedelta(hours=71))
    assert waits.run_key is None
    assert "since the rollback, which asks for training itself" in waits.said
    judge_day(rollout.database, now.date())
    assert due(rollout, now=at + timedelta(hours=73)).run_key is not None, "nothing came of it"


def test_before_the_first_release_there_is_nothing_to_train_again(database: Database) -> None:
    seen = retraining.due(database, "nothing", POLICY, None, datetime.now(UTC), True)
    assert (seen.run_key, seen.said) == (None, "nothing has no release yet")


@dataclass
class World:
    """Weeks in which every day drifts and every candidate is bad. Releases and rollbacks get the world's times."""

    rollout: Rollout
    labels_a_day: int
    rollbacks_ask: bool
    gates_pass: bool
    policy: DriftPolicy = field(default_factory=lambda: DriftPolicy(retrain_labels=20))
    by_drift: list[datetime] = field(default_factory=list)
    by_rollback: list[datetime] = field(default_factory=list)
    releases: list[datetime] = field(default_factory=list)
    labels: int = 0

    def __post_init__(self) -> None:
        # All of it lies long before the machine's own time, so that the two are told apart.
        self.now = datetime.now(UTC).replace(hour=0, minute=0) - timedelta(days=400)
        self.outside = self.now + timedelta(days=300)
        self.cursors: list[str | None] = [None, None]
        self.candidate_since: datetime | None = None
        with self.rollout.database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE mlops.ledger DISABLE TRIGGER append_only"))
        self._date_everything(self.now - timedelta(hours=1))

    @property
    def ledger(self) -> Ledger:
        return self.rollout.ledger

    def _date_everything(self, at: datetime) -> None:
        """What was written by the machine's clock, and so lies outside the world, happened at `at`."""
        with self.rollout.database.engine.begin() as connection:
            for table in ("release", "ledger", "dataset_version"):
                statement = f"UPDATE mlops.{table} SET created_at = :at WHERE created_at > :outside"
                connection.execute(text(statement), {"at": at, "outside": self.outside})

    def live(self, days: int, step_hours: int = 3) -> World:
        for count in range(days):
            yesterday: date = (self.now - timedelta(days=1)).date()
            judge_day(self.rollout.database, yesterday, Status.DRIFTED, release=self.rollout.state.production)
            if self.labels_a_day:
                label(self.rollout.log, self.labels_a_day, at=self.now)
                self.labels += self.labels_a_day
            for _ in range(0, 24, step_hours):
                self._hour(count)
                self.now += timedelta(hours=step_hours)
        return self

    def _hour(self, count: int) -> None:
        if self.candidate_since and self.now - self.candidate_since > timedelta(hours=40):
            self.ledger.rollback(PRODUCT, actor="platform", reason="worse", retrain=self.rollbacks_ask)
            self.candidate_since = None
        drift = retraining.due(self.rollout.database, PRODUCT, self.policy, self.cursors[0], self.now, True)
        rollback = after_rollback.due(self.rollout.database, PRODUCT, ROLLOUTS, self.cursors[1], self.now)
        self.cursors = [drift.cursor, rollback.cursor]
        if drift.run_key:
            self.by_drift.append(self.now)
        if rollback.seq:
            self.by_rollback.append(self.now)
        if (drift.run_key or rollback.seq) and self.gates_pass:
            number = self.ledger.reserve(PRODUCT, f"run {count} {self.now}", dataset_version=1)
            self.ledger.publish(PRODUCT, number, f"/releases/{number}", {}, actor="test")
            self.candidate_since = self.now
            self.releases.append(self.now)
        self._date_everything(self.now)


@pytest.mark.parametrize("rollbacks_ask", [True, False])
@pytest.mark.parametrize("gates_pass", [True, False])
def test_weeks_of_drift_without_new_labels_ask_for_nothing(
    rollout: Rollout, rollbacks_ask: bool, gates_pass: bool
) -> None:
    rollout.ledger.promote(PRODUCT, "kim", "up", version=2)
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="down", retrain=rollbacks_ask)
    world = World(rollout, labels_a_day=0, rollbacks_ask=rollbacks_ask, gates_pass=gates_pass).live(days=20)
    assert world.by_drift == []
    assert bool(world.by_rollback) is rollbacks_ask


@pytest.mark.parametrize("gates_pass", [True, False])
def test_requests_are_bounded_by_new_labels_and_by_the_cooldown_however_bad_every_candidate_is(
    rollout: Rollout, gates_pass: bool
) -> None:
    world = World(rollout, labels_a_day=4, rollbacks_ask=False, gates_pass=gates_pass).live(days=30)
    assert 2 <= len(world.by_drift) <= world.labels // world.policy.retrain_labels
    cooldown = timedelta(hours=world.policy.retrain_cooldown_hours)
    for asked in world.by_drift:
        before = [at for at in world.by_drift + world.releases if at < asked]
        assert not before or asked - max(before) >= cooldown


def test_with_plenty_of_labels_drift_asks_after_the_cooldown_and_rollbacks_of_the_same_recipe_do_not(
    rollout: Rollout,
) -> None:
    world = World(rollout, labels_a_day=40, rollbacks_ask=True, gates_pass=True).live(days=20)
    assert world.by_rollback == [], "release 2, of the same data and code, was withdrawn before"
    asked = sorted(world.by_drift + world.by_rollback)
    assert 2 <= len(world.by_drift) <= 20 * 24 / world.policy.retrain_cooldown_hours
    assert len(set(asked)) == len(asked)
    for drift in world.by_drift:
        before = [at for at in world.releases if at < drift]
        assert not before or drift - max(before) >= timedelta(hours=world.policy.retrain_cooldown_hours)
