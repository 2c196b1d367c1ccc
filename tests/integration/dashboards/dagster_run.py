"""One real run of two small assets, and a judgement of freshness as Dagster's daemon would write it down."""

from __future__ import annotations

import time

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import DagsterEvent, DagsterEventType

KEY = dg.AssetKey(["homes", "metrics"])
WARNING = dg.AssetCheckSeverity.WARN


@dg.asset(key=KEY, check_specs=[dg.AssetCheckSpec(name, asset=KEY) for name in ("mae_gate", "bias_gate")])
def metrics() -> dg.MaterializeResult:
    """An asset, one of whose checks doesn't pass."""
    return dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(check_name="mae_gate", passed=True),
            dg.AssetCheckResult(check_name="bias_gate", passed=False, severity=WARNING),
        ]
    )


def run_once(instance: dg.DagsterInstance) -> None:
    """The run, after which its asset is stale."""
    assert dg.materialize([metrics], instance=instance).success
    change = FreshnessStateChange(
        key=KEY,
        new_state=FreshnessState.FAIL,
        previous_state=FreshnessState.PASS,
        state_change_timestamp=time.time(),
    )
    kind = DagsterEventType.FRESHNESS_STATE_CHANGE.value
    event = DagsterEvent(event_type_value=kind, job_name="", event_specific_data=change)
    instance.report_dagster_event(event, run_id="")
