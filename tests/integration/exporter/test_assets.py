"""Assets and checks of a real Dagster instance, and freshness as Dagster's daemon would write it down."""

from __future__ import annotations

import time
from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState

from mlops_assets.observability.exporter.collectors.assets import collector
from mlops_assets.observability.exporter.collectors.source import Source
from tests.integration.exporter.made_rows import Found, Rows, judge_freshness, look

GATES = ("mae_gate", "bias_gate")


class Marks:
    """What the checks say at the next run, and whether the asset works."""

    passed = True
    breaks = False


@dg.asset(key_prefix="homes", check_specs=[dg.AssetCheckSpec(name, asset=["homes", "metrics"]) for name in GATES])
def metrics() -> dg.MaterializeResult:
    if Marks.breaks:
        raise ValueError("on purpose")
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(check_name="mae_gate", passed=Marks.passed),
            dg.AssetCheckResult(check_name="bias_gate", passed=False, severity=dg.AssetCheckSeverity.WARN),
        ]
    )


@dg.asset(key_prefix=["pipelines", "churn"])
def clean() -> None:
    """A stage of a declared pipeline."""


@pytest.fixture
def looks(source: Source) -> Callable[[], Found]:
    """One collector, to look with again and again."""
    made = collector(source)
    return lambda: look(made)


def materialize(instance: dg.DagsterInstance) -> None:
    dg.materialize([metrics, clean], instance=instance, raise_on_error=False)


def checks(found: Found) -> dict[str, float]:
    return {
        f"{check} {severity}": value for (_, check, severity), value in found.all("mlops_asset_check_passed").items()
    }


def test_the_newest_success_and_the_newest_results(
    instance: dg.DagsterInstance, looks: Callable[[], Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looks().all("mlops_asset_last_materialization_timestamp_seconds") == {}
    materialize(instance)
    found = looks()
    assert checks(found) == {"mae_gate ERROR": 1, "bias_gate WARN": 0}
    made = found.all("mlops_asset_last_materialization_timestamp_seconds")
    assert made == {("homes/metrics",): pytest.approx(time.time(), abs=60)}
    assert found.all("mlops_asset_stale") == {}
    monkeypatch.setattr(Marks, "passed", False)
    materialize(instance)
    again = looks()
    assert checks(again) == {"mae_gate ERROR": 0, "bias_gate WARN": 0}
    newer = again.all("mlops_asset_last_materialization_timestamp_seconds")
    assert newer["homes/metrics",] > made["homes/metrics",]
    # A run that breaks leaves no success and no result: what was before holds.
    monkeypatch.setattr(Marks, "breaks", True)
    materialize(instance)
    last = looks()
    assert last.all("mlops_asset_last_materialization_timestamp_seconds") == newer
    assert checks(last) == checks(again)


def test_a_result_that_comes_after_the_look_is_seen_at_the_next(
    instance: dg.DagsterInstance, rows: Rows, looks: Callable[[], Found]
) -> None:
    materialize(instance)
    planned = "UPDATE dagster.asset_check_executions SET execution_status = :status WHERE check_name = 'mae_gate'"
    rows.execute(planned, status="PLANNED")
    assert checks(looks()) == {"bias_gate WARN": 0}
    rows.execute(planned, status="SUCCEEDED")
    assert checks(looks()) == {"mae_gate ERROR": 1, "bias_gate WARN": 0}


def test_freshness_is_what_dagster_says(instance: dg.DagsterInstance, looks: Callable[[], Found]) -> None:
    materialize(instance)
    key = dg.AssetKey(["homes", "metrics"])
    for state, stale in ((FreshnessState.PASS, 0), (FreshnessState.FAIL, 1), (FreshnessState.WARN, 0)):
        judge_freshness(instance, key, state)
        assert looks().all("mlops_asset_stale") == {("homes/metrics",): stale}


def test_a_key_that_is_nobodys_name_is_other(rows: Rows, looks: Callable[[], Found]) -> None:
    for n, key in enumerate(('["evil\\n\\"}", "x"]', "no json", '{"a": 1}')):
        rows.execute("INSERT INTO dagster.asset_keys (asset_key) VALUES (:key)", key=key)
        insert = (
            "INSERT INTO dagster.event_logs (run_id, event, dagster_event_type, timestamp, asset_key) "
            "VALUES ('r', '{}', 'ASSET_MATERIALIZATION', to_timestamp(:at), :key)"
        )
        rows.execute(insert, key=key, at=1000 + n)
    assert looks().all("mlops_asset_last_materialization_timestamp_seconds") == {("other",): 1002}
