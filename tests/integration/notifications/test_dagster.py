"""The sensors on a real Dagster instance: failed runs, failed gates, asked-for retrains; each noted once."""

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from mlops_assets.notifications import dagster_runs, dagster_sensors, outbox
from mlops_assets.notifications.component import NotificationsComponent
from mlops_assets.notifications.notice import Kind, Notice
from mlops_assets.settings import Settings
from mlops_assets.storage.database import Database


@dg.asset(key_prefix="homes", check_specs=[dg.AssetCheckSpec(f"c{n}", asset=["homes", "metrics"]) for n in range(3)])
def metrics() -> dg.MaterializeResult:
    """Three checks: a blocking gate that fails, one that only warns, one that passes."""
    figures = {"value": 0.41234567, "limit": "≥ 0.6", "production": "none yet", "rows": 7}
    warn = dg.AssetCheckSeverity.WARN
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(check_name="c0", passed=False, description="r2 is too low", metadata=figures),
            dg.AssetCheckResult(check_name="c1", passed=False, severity=warn),
            dg.AssetCheckResult(check_name="c2", passed=True),
        ]
    )


@dg.asset(
    key_prefix="homes",
    check_specs=[dg.AssetCheckSpec("blocking_gate", asset=["homes", "model"], blocking=True)],
)
def model() -> dg.MaterializeResult:
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False)])


@dg.asset(key_prefix="homes", deps=[model])
def released() -> None:
    raise AssertionError("a blocking gate lets nothing past")


@dg.op
def refuse() -> None:
    try:
        raise ConnectionError("no way to postgresql://kim:s3cr3t@db/x\nand more lines")
    except ConnectionError as error:
        raise ValueError("the rows can't be read") from error


@dg.job(tags={"product": "homes"})
def homes_train() -> None:
    refuse()


class Ticks:
    """One sensor on one instance, its cursor kept between ticks."""

    def __init__(self, sensor: dg.SensorDefinition, instance: dg.DagsterInstance, resources: dict[str, Any]) -> None:
        self.sensor, self.instance, self.resources = sensor, instance, resources
        self.cursor: str | None = None

    def tick(self) -> str:
        """Evaluate it once; what it said."""
        with dg.build_sensor_context(self.instance, cursor=self.cursor, resources=self.resources) as context:
            data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor
        assert not data.run_requests
        return data.skip_message or ""


@pytest.fixture
def noting(database: Database, tmp_path: Path) -> dict[str, Any]:
    return {"database": database, "settings": Settings(home=tmp_path)}


@pytest.fixture(scope="module")
def instance(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Dagster instance in PostgreSQL, as an installation has it."""
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS dagster"))
    engine.dispose()
    url = f"{postgres_url}&options=-csearch_path%3Ddagster"
    storage = {"storage": {"postgres": {"postgres_url": url}}}
    with dg.instance_for_test(storage, temp_dir=str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


@pytest.fixture
def on(instance: dg.DagsterInstance, noting: dict[str, Any]) -> Any:
    def ticks(sensor: dg.SensorDefinition) -> Ticks:
        first = Ticks(sensor, instance, noting)
        assert "first look" in first.tick()
        return first

    return ticks


def noted(database: Database) -> list[Notice]:
    return [each.notice for each in outbox.newest(database, 50)]


def fail(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> str:
    return homes_train.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id


def test_a_failed_run_is_noted_once_with_job_step_error_and_link(
    database: Database, instance: dg.DagsterInstance, on: Any
) -> None:
    fail(instance)
    ticks = on(dagster_sensors.failed_run_sensor())
    assert ticks.tick() == "nothing new", "what failed before the first look is old"
    run_id = fail(instance)
    assert ticks.tick() == "noted 1 new"
    assert ticks.tick() == "nothing new"
    found = noted(database)
    assert [notice.title for notice in found] == ["[homes] homes_train failed at refuse"]
    assert (found[0].kind, found[0].group) == (Kind.RUN_FAILED, "run_failed:homes_train")
    assert found[0].body.splitlines()[0] == "ConnectionError: no way to postgresql://***@db/x"
    assert found[0].link == f"http://127.0.0.1:8000/dagster/runs/{run_id}"


def test_a_failed_run_of_a_declared_pipeline_is_noted_with_the_pipelines_name(
    database: Database, instance: dg.DagsterInstance, on: Any
) -> None:
    @dg.asset(key=["pipelines", "sales", "train"])
    def train() -> None:
        raise dg.Failure("ValueError: no rows")

    ticks = on(dagster_sensors.failed_run_sensor())
    dg.materialize([train], instance=instance, raise_on_error=False, tags={"mlops/pipeline_name": "sales"})
    assert ticks.tick() == "noted 1 new"
    (found,) = noted(database)
    assert (found.title, found.group) == ("[platform] pipeline sales failed at train", "run_failed:pipeline sales")
    assert "ValueError: no rows" in found.body


def test_a_run_that_succeeds_or_is_tried_again_is_not_noted(
    database: Database, instance: dg.DagsterInstance, on: Any
) -> None:
    ticks = on(dagster_sensors.failed_run_sensor())
    assert dg.materialize([metrics], instance=instance).success
    fail(instance, {"dagster/will_retry": "true"})
    ticks.tick()
    assert noted(database) == []


def test_a_run_that_was_never_launched_or_whose_process_died_is_noted(
    database: Database, instance: dg.DagsterInstance, on: Any
) -> None:
    ticks = on(dagster_sensors.failed_run_sensor())
    tags = {"product": "homes"}
    launched = instance.create_run_for_job(homes_train, tags=tags, status=dg.DagsterRunStatus.STARTING)
    instance.report_run_failed(launched, "the fork server doesn't answer")
    bare = instance.create_run_for_job(homes_train, tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.run_storage.handle_run_event(
        bare.run_id,
        dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, bare.job_name),
    )
    ticks.tick()
    bodies = {notice.key: notice.body for notice in noted(database)}
    assert bodies[f"run:{launched.run_id}"].startswith("the fork server doesn't answer")
    assert bodies[f"run:{bare.run_id}"].startswith("no error was recorded")
    assert {notice.title for notice in noted(database)} == {"[homes] homes_train failed"}


def test_more_failures_than_a_page_are_all_noted(
    database: Database, instance: dg.DagsterInstance, on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = on(dagster_sensors.failed_run_sensor())
    monkeypatch.setattr(dagster_runs, "MOST_AT_ONCE", 3)
    runs = set()
    for _ in range(8):
        run = instance.create_run_for_job(homes_train, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
        runs.add(f"run:{run.run_id}")
    for _ in range(4):
        ticks.tick()
    assert {notice.key for notice in noted(database)} == runs


def test_a_failed_gate_is_noted_with_its_figures_and_one_that_warns_is_not(
    database: Database, instance: dg.DagsterInstance, on: Any
) -> None:
    dg.materialize([metrics], instance=instance)
    ticks = on(dagster_sensors.failed_gate_sensor())
    assert ticks.tick() == "nothing new", "what failed before the first look is old"
    run_id = dg.materialize([metrics], instance=instance).run_id
    assert ticks.tick() == "noted 1 new"
    assert ticks.tick() == "nothing new"
    (notice,) = noted(database)
    assert notice.title == "[homes] c0 failed"
    assert notice.body.splitlines()[:2] == ["r2 is too low", "value 0.4123, limit ≥ 0.6, production none yet"]
    assert notice.link == f"http://127.0.0.1:8000/dagster/runs/{run_id}"


def test_a_blocking_gate_fails_no_run_and_is_noted(database: Database, instance: dg.DagsterInstance, on: Any) -> None:
    gates, runs = on(dagster_sensors.failed_gate_sensor()), on(dagster_sensors.failed_run_sensor())
    dg.materialize([model, released], instance=instance, raise_on_error=False)
    gates.tick()
    assert [notice.kind for notice in noted(database)] == [Kind.GATE_FAILED]
    assert "It blocks" in noted(database)[0].body
    runs.tick()
    assert [notice.subject for notice in noted(database)][-1] == "homes/model:blocking_gate"


def test_a_gate_evaluated_outside_of_runs_is_noted(database: Database, instance: dg.DagsterInstance, on: Any) -> None:
    ticks = on(dagster_sensors.failed_gate_sensor())
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey(["homes", "metrics"]), check_name="c0", passed=False)
    )
    ticks.tick()
    assert [notice.link for notice in noted(database)] == [
        "http://127.0.0.1:8000/dagster/assets/homes/metrics?view=checks"
    ]


def test_a_retrain_is_noted_and_other_runs_are_not(database: Database, instance: dg.DagsterInstance, on: Any) -> None:
    ticks = on(dagster_sensors.asked_retrain_sensor())
    for tags in (
        {"mlops/trigger": "rollback", "mlops/ledger_seq": "17"},
        {"mlops/trigger": "drift", "mlops/drift": "size drifted on 3 days"},
        {"mlops/trigger": "guardrail"},
        {},
    ):
        instance.create_run_for_job(homes_train, tags={"product": "homes", **tags})
    assert ticks.tick() == "noted 2 new"
    assert ticks.tick() == "nothing new"
    bodies = [notice.body for notice in reversed(noted(database))]
    assert bodies == [
        "A release was rolled back, so homes_train was started.\nWhy: decision 17 of the ledger",
        "The live data drifts, so homes_train was started.\nWhy: size drifted on 3 days",
    ]


def test_while_the_database_is_away_a_sensor_skips_and_notes_it_later(
    database: Database, instance: dg.DagsterInstance, on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> int:
        raise OperationalError("postgresql://kim:s3cr3t@db", {}, Exception("gone"))

    sensors = [
        on(dagster_sensors.failed_run_sensor()),
        on(dagster_sensors.failed_gate_sensor()),
        on(dagster_sensors.asked_retrain_sensor()),
    ]
    fail(instance, {"mlops/trigger": "drift"})
    dg.materialize([metrics], instance=instance)
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "note", away)
        for ticks in sensors:
            before = ticks.cursor
            said = ticks.tick()
            assert "looking again" in said
            assert "s3cr3t" not in said
            assert ticks.cursor == before
    for ticks in sensors:
        ticks.tick()
    assert {notice.kind for notice in noted(database)} == {Kind.RUN_FAILED, Kind.GATE_FAILED, Kind.RETRAIN}


def test_a_page_goes_on_behind_a_full_one_and_looks_back_otherwise() -> None:
    now = dagster_runs.utc(datetime(2026, 3, 2))
    few = [SimpleNamespace(update_timestamp=now + timedelta(seconds=n)) for n in range(3)]
    full = [SimpleNamespace(update_timestamp=now)] * dagster_runs.MOST_AT_ONCE
    assert dagster_runs._up_to(now, few, "update_timestamp") == now + timedelta(seconds=2)
    assert dagster_runs._up_to(now, full, "update_timestamp") == now + dagster_runs.OVERLAP
    assert dagster_runs._up_to(now, [], "update_timestamp") == now


def test_the_component_gives_the_sensors_their_names() -> None:
    sensors = NotificationsComponent().build_defs(dg.ComponentTree.for_test().load_context).sensors
    names = ["platform_notify_on_failed_run", "platform_notify_on_failed_gate", "platform_notify_on_asked_retrain"]
    assert [sensor.name for sensor in sensors or []] == names
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in sensors or [])
