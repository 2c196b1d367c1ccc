"""What Dagster is given for a product's rollouts, and the sensors' answers to what looks and rollbacks say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from mlops_assets.rollout import looking, retraining
from mlops_assets.rollout.component import rollout_definitions
from mlops_assets.rollout.ledger import Conflict, Ledger, State
from mlops_assets.rollout.looking import LookResult
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.retraining import Seen

NAMES = ("settings", "database", "storage", "tracking")
COMPARING = State("shop", 5, 1, 2, 0.2, 1, Phase.HOLD, started_at=datetime(2026, 3, 2, tzinfo=UTC))


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    @dg.job
    def shop_train() -> None:
        pass

    made = rollout_definitions("shop", "Shop", "team:shop", RolloutPolicy())
    resources = dict.fromkeys(NAMES, SimpleNamespace())
    return dg.Definitions.merge(made, dg.Definitions(jobs=[shop_train], resources=resources))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def tick(definitions: dg.Definitions, name: str, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """One evaluation of a sensor."""
    context = dg.build_sensor_context(instance, cursor=cursor, resources={"database": object()})
    return definitions.resolve_sensor_def(name)(context)


def test_it_holds_the_assets_jobs_schedules_and_sensors_that_were_designed(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert keys == {f"shop/{s}" for s in ("rollout_evidence", "rollout_verdict", "rollout_chart", "release_retention")}
    checks = {key.name for key in repository.asset_graph.asset_check_keys}
    assert checks == {"sample_ratio_gate", "guardrails_gate"}
    assert {s.name: s.cron_schedule for s in repository.schedule_defs} == {
        "shop_rollout_schedule": "0 * * * *",
        "shop_release_retention_schedule": "30 2 * * *",
    }
    sensors = {s.name: s.job_name for s in repository.sensor_defs}
    assert sensors == {"shop_roll_back_on_guardrail": "shop_rollout", "shop_retrain_on_rollback": "shop_train"}
    assert all(s.default_status == dg.DefaultSensorStatus.RUNNING for s in repository.sensor_defs)
    assert all(s.default_status == dg.DefaultScheduleStatus.RUNNING for s in repository.schedule_defs)
    job = definitions.resolve_job_def("shop_rollout")
    stages = {key.path[-1] for key in job.asset_layer.executable_asset_keys}
    assert stages == {"rollout_evidence", "rollout_verdict", "rollout_chart"}


def test_a_gate_warns_and_blocks_nothing(definitions: dg.Definitions) -> None:
    graph = definitions.get_repository_def().asset_graph
    assert not any(graph.get_check_spec(key).blocking for key in graph.asset_check_keys)


def test_the_schedule_asks_for_one_look_an_hour_while_something_is_compared(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = datetime(2026, 3, 2, 13, 0, tzinfo=UTC)
    context = dg.build_schedule_context(scheduled_execution_time=hour, resources={"database": object()})
    schedule = definitions.resolve_schedule_def("shop_rollout_schedule")
    monkeypatch.setattr(Ledger, "state", lambda *_: COMPARING)
    (asked,) = schedule.evaluate_tick(context).run_requests
    assert asked.tags["mlops/look_hour"] == "2026-03-02T13:00Z"
    monkeypatch.setattr(Ledger, "state", lambda *_: State("shop", 3, 1))
    nothing = schedule.evaluate_tick(context)
    assert not nothing.run_requests
    assert "no candidate" in str(nothing.skip_message)


@pytest.mark.parametrize(("verdict", "recorded", "asks"), [("roll_back", True, True), ("continue", True, False)])
def test_the_guardrail_sensor_asks_for_a_run_after_a_rollback_only(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    verdict: str,
    recorded: bool,
    asks: bool,
) -> None:
    given: dict[str, Any] = {}

    def look(*_: object, **named: Any) -> LookResult:
        given.update(named)
        return LookResult(State("shop", 9, 1), "what it saw", None, SimpleNamespace(verdict=verdict), recorded)  # type: ignore[arg-type]

    monkeypatch.setattr(looking, "look_once", look)
    said = tick(definitions, "shop_roll_back_on_guardrail", instance)
    assert given["record_only_if_decisive"] is True
    if asks:
        assert said.run_key == "shop-rolled-back-9"
        assert said.tags["mlops/trigger"] == "guardrail"
    else:
        assert isinstance(said, dg.SkipReason)
        assert said.skip_message == "what it saw"


def test_a_guardrail_look_that_others_overtook_comes_again(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: object, **__: object) -> LookResult:
        raise Conflict("decision 7 came after 6")

    monkeypatch.setattr(looking, "look_once", look)
    said = tick(definitions, "shop_roll_back_on_guardrail", instance)
    assert "decision 7 came after 6" in str(said.skip_message)


def test_a_rollback_is_one_training_run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "due", lambda *_: Seen(12, "kept", "release 4 was rolled back"))
    asked = tick(definitions, "shop_retrain_on_rollback", instance)
    assert [r.run_key for r in asked.run_requests] == ["shop-retrain-12"]
    assert (asked.cursor, asked.run_requests[0].tags["mlops/trigger"]) == ("kept", "rollback")
    monkeypatch.setattr(retraining, "due", lambda *_: Seen(None, "kept", "waiting 3 h"))
    waits = tick(definitions, "shop_retrain_on_rollback", instance)
    assert (waits.run_requests, waits.skip_reason.skip_message, waits.cursor) == ([], "waiting 3 h", "kept")


def test_a_training_in_progress_is_waited_for(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retraining, "due", lambda *_: Seen(12, "kept", "release 4 was rolled back"))
    create_run_for_test(instance, job_name="shop_train", status=DagsterRunStatus.STARTED)
    said = tick(definitions, "shop_retrain_on_rollback", instance)
    assert "shop_train is running" in str(said.skip_message)


def test_declaring_a_rollout_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mlops_assets.rollout.component import rollout_definitions;"
        "from mlops_assets.rollout.policy import RolloutPolicy;"
        "rollout_definitions('shop', 'Shop', 'team:shop', RolloutPolicy());"
        "print([m for m in ('numpy', 'pandas', 'sqlalchemy', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    # Dagster itself needs sqlalchemy; what it brings along is not ours.
    bare = "import sys, dagster; print([m for m in ('numpy', 'pandas', 'sqlalchemy') if m in sys.modules])"
    ours, dagsters = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", c], capture_output=True, text=True, timeout=60, check=True
        )
        for c in (code, bare)
    )
    assert ours.stdout == dagsters.stdout
