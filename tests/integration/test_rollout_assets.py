"""The rollout's assets run on a real ledger, log and storage; retraining and archiving on the real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from mlops_assets.rollout import archive, retraining
from mlops_assets.rollout.component import rollout_definitions
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.story import newest
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database
from mlops_assets.storage.files import Storage
from tests.integration.rollouts import PRODUCT, Rollout, begun

POLICY = RolloutPolicy(min_hours=0, keep_releases=3)


@pytest.fixture
def rollout(database: Database) -> Rollout:
    return begun(database, policy=POLICY)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def resources(home: Settings, database: Database) -> dict[str, Any]:
    return {"settings": home, "database": database, "storage": Storage(home.storage)}


def run(
    resources: dict[str, Any], instance: dg.DagsterInstance, job: str = "rollout", **how: Any
) -> dg.ExecuteInProcessResult:
    @dg.job(name=f"{PRODUCT}_train")
    def train() -> None:
        pass

    made = rollout_definitions(PRODUCT, "House prices", "team:ml", POLICY)
    together = dg.Definitions.merge(made, dg.Definitions(jobs=[train], resources=resources))
    return together.resolve_job_def(f"{PRODUCT}_{job}").execute_in_process(instance=instance, **how)


def shown(result: dg.ExecuteInProcessResult, stage: str) -> dict[str, Any]:
    (made,) = result.asset_materializations_for_node(f"{PRODUCT}__{stage}")
    return {name: value.value for name, value in made.metadata.items()}


def test_a_run_looks_decides_and_draws(
    rollout: Rollout, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    rollout.rate_both(60, 3.0, 4.5)
    rollout.log.ship()
    result = run(resources, instance)
    assert rollout.state.production == 2
    assert "| requests | 240 | 60 |" in shown(result, "rollout_evidence")["counts"]
    verdict = shown(result, "rollout_verdict")
    assert (verdict["verdict"], verdict["recorded"]) == ("promote", True)
    assert verdict["low"] > 0
    assert {c.check_name: c.passed for c in result.get_asset_check_evaluations()} == {
        "sample_ratio_gate": True,
        "guardrails_gate": True,
    }
    chart = shown(result, "rollout_chart")
    assert chart["said"] == "Candidate 2 is better: promoted"
    assert chart["chart"].startswith("![chart](data:image/png;base64,")
    assert resources["storage"].at(PRODUCT, "charts", "rollouts").exists("rollout_1.png")


def test_the_gates_show_a_wrong_split_and_a_broken_limit(
    rollout: Rollout, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    for n in range(120):
        rollout.log.predict("production", f"p{n}")
        rollout.log.predict("candidate", f"c{n}", variant="production")
    rollout.log.ship()
    checks = {c.check_name: c for c in run(resources, instance).get_asset_check_evaluations()}
    assert not any(check.passed for check in checks.values())
    assert "20% expected" in str(checks["sample_ratio_gate"].description)
    assert "errors" in str(checks["guardrails_gate"].description)


def test_without_a_candidate_a_run_says_so(
    rollout: Rollout, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="no")
    result = run(resources, instance)
    assert "no candidate" in shown(result, "rollout_verdict")["said"]
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert shown(result, "rollout_chart")["said"] == "Candidate 2 was rolled back by kim: no"


def test_a_scheduled_run_is_its_hours_look_and_any_other_its_own(
    rollout: Rollout, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    hour = {"mlops/look_hour": "2026-03-02T13:00Z"}
    for tags in (hour, hour, {}, {}):
        run(resources, instance, tags=tags)
    keys = [entry.key for entry in rollout.ledger.looks(PRODUCT, 1)]
    assert keys[0] == "look:1:2026-03-02T13:00Z"
    assert len(keys) == 3


def test_the_newest_story_is_told_from_its_first_look_to_its_end(rollout: Rollout) -> None:
    assert newest(rollout.ledger, "nothing") is None
    told = newest(rollout.ledger, PRODUCT)
    assert told is not None
    assert (told.candidate, told.looks, told.end) == (2, (), None)


def due(rollout: Rollout, cursor: str | None = None, hours: float = 25) -> retraining.Seen:
    now = moment(rollout) + timedelta(hours=hours)
    return retraining.due(rollout.database, PRODUCT, POLICY, cursor, now)


def moment(rollout: Rollout) -> datetime:
    return rollout.ledger.release(PRODUCT, 2).created_at


def test_a_rollback_is_trained_for_once_and_after_the_cooldown(rollout: Rollout) -> None:
    assert "no rollback" in due(rollout).said
    rollout.ledger.rollback(PRODUCT, actor="platform", reason="worse")
    early = due(rollout, hours=20)
    assert (early.seq, early.cursor) == (None, None)
    assert "waiting 4.0 h of the 24 h cooldown" in early.said
    first = due(rollout)
    assert first.seq == rollout.state.seq
    assert "rolled back release 2" in first.said
    assert due(rollout, first.cursor, hours=100).seq is None


def test_the_next_rollback_waits_for_the_cooldown_of_the_last_request(rollout: Rollout) -> None:
    rollout.ledger.rollback(PRODUCT, actor="platform", reason="worse")
    first = due(rollout, hours=25)
    rollout.ledger.promote(PRODUCT, "kim", "up after all", version=2)
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="down again")
    assert "waiting" in due(rollout, first.cursor, hours=40).said
    assert due(rollout, first.cursor, hours=50).seq == rollout.state.seq


def test_a_rollback_without_a_retrain_or_with_a_newer_release_asks_for_nothing(rollout: Rollout) -> None:
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="no", retrain=False)
    assert "no rollback" in due(rollout).said
    rollout.ledger.promote(PRODUCT, "kim", "up", version=2)
    rollout.ledger.rollback(PRODUCT, actor="kim", reason="down")
    rollout.ledger.publish(PRODUCT, rollout.ledger.reserve(PRODUCT, "third", 1), "/releases/3", {}, actor="test")
    seen = due(rollout, hours=1000)
    assert seen.seq is None
    assert "release 3 was made since" in seen.said
    assert "no rollback" in due(rollout, seen.cursor).said


def test_withdrawing_the_same_data_and_code_again_ends_the_retrains(rollout: Rollout) -> None:
    rollout.ledger.rollback(PRODUCT, actor="platform", reason="worse")
    first = due(rollout, hours=25)
    assert first.seq is not None
    rollout.ledger.publish(PRODUCT, rollout.ledger.reserve(PRODUCT, "third", 1), "/releases/3", {}, actor="test")
    rollout.ledger.rollback(PRODUCT, actor="platform", reason="worse again")
    again = due(rollout, first.cursor, hours=1000)
    assert again.seq is None
    assert "same data and code" in again.said
    newer = rollout.ledger.reserve(PRODUCT, "fourth", 1)
    rollout.ledger.publish(PRODUCT, newer, "/releases/4", {"code_version": "changed"}, actor="test")
    rollout.ledger.rollback(PRODUCT, actor="platform", reason="another recipe")
    assert due(rollout, again.cursor, hours=2000).seq == rollout.state.seq


def test_releases_beyond_the_newest_are_marked_unless_somebody_needs_them(
    rollout: Rollout, resources: dict[str, Any], instance: dg.DagsterInstance
) -> None:
    for version in range(3, 8):
        rollout.ledger.publish(
            PRODUCT, rollout.ledger.reserve(PRODUCT, f"run{version}", 1), f"/releases/{version}", {}, actor="test"
        )
    rollout.ledger.reserve(PRODUCT, "unfinished", 1)
    result = shown(run(resources, instance, job="release_retention"), "release_retention")
    assert (result["archived_now"], result["archived"], result["kept"]) == ([2, 3, 4], [2, 3, 4], 4)
    assert rollout.ledger.release(PRODUCT, 3).archived_at is not None
    assert rollout.ledger.release(PRODUCT, 1).archived_at is None, "production"
    rollout.ledger.promote(PRODUCT, "kim", "back to an old one", version=3)
    again = archive.archive(rollout.database, PRODUCT, 3)
    assert (again.archived, again.returned) == ((), (3,))
    assert rollout.ledger.release(PRODUCT, 3).archived_at is None
    assert archive.archive(rollout.database, PRODUCT, 3).returned == ()
