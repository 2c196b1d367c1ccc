"""What people read of failed runs, failed gates and asked-for retrains."""

from __future__ import annotations

from typing import Any

from mlops_assets.notifications.from_runs import (
    AskedRetrain,
    FailedGate,
    FailedRun,
    asked_retrain,
    failed_gate,
    failed_run,
)
from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind
from tests.unit.notifications.made_notice import AT

LINKS = Links("http://api", "http://dagster")


def run(**changed: Any) -> FailedRun:
    values: dict[str, Any] = {
        "run_id": "r1",
        "job": "homes_train",
        "product": "homes",
        "step": "homes__model",
        "error": "ValueError: bad",
        "ended_at": AT,
    }
    return FailedRun(**{**values, **changed})


def gate(**changed: Any) -> FailedGate:
    values: dict[str, Any] = {
        "asset": ("homes", "metrics"),
        "check": "r2_gate",
        "run_id": "r1",
        "storage_id": 9,
        "partition": None,
        "blocking": True,
        "description": "r2 is too low",
        "figures": {"value": "0.41", "limit": "≥ 0.6"},
        "at": AT,
    }
    return FailedGate(**{**values, **changed})


def test_a_failed_run_names_job_step_error_and_leads_to_the_run() -> None:
    told = failed_run(run(), LINKS)
    assert told.title == "[homes] homes_train failed at homes__model"
    assert told.body == "ValueError: bad\nRun r1."
    assert told.link == "http://dagster/runs/r1"
    assert (told.kind, told.key, told.group) == (Kind.RUN_FAILED, "run:r1", "run_failed:homes_train")


def test_a_run_without_step_or_error_or_job_says_so() -> None:
    told = failed_run(run(step=None, error="", product=None, job="__ASSET_JOB"), LINKS)
    assert told.title == "[platform] a run of single assets failed"
    assert "ended by itself" in told.body


def test_a_long_error_with_a_password_is_cut_and_cleaned() -> None:
    told = failed_run(run(error="no way to postgresql://kim:s3cr3t@db/x " + "y" * 900), LINKS)
    assert "s3cr3t" not in told.body
    assert len(told.body) < 560


def test_a_failed_gate_shows_value_and_limit() -> None:
    told = failed_gate(gate(), LINKS)
    assert told.title == "[homes] r2_gate failed"
    assert told.body.splitlines() == [
        "r2 is too low",
        "value 0.41, limit ≥ 0.6",
        "It blocks: what depends on the asset didn't run.",
        "Asset homes/metrics.",
    ]
    assert told.link == "http://dagster/runs/r1"


def test_the_same_gate_is_told_once_a_run_and_counted_over_runs() -> None:
    first, again, other = gate(), gate(storage_id=10), gate(run_id="r2")
    keys = [failed_gate(g, LINKS).key for g in (first, again, other)]
    assert keys[0] == keys[1] != keys[2]
    assert len({failed_gate(g, LINKS).group for g in (first, other)}) == 1


def test_a_gate_outside_of_runs_leads_to_its_asset() -> None:
    told = failed_gate(gate(run_id="", partition="2026-03-01", blocking=False, description="", figures={}), LINKS)
    assert told.link == "http://dagster/assets/homes/metrics?view=checks"
    assert told.title == "[homes] r2_gate failed [2026-03-01]"
    assert told.body == "Asset homes/metrics [2026-03-01]."


def test_a_retrain_says_what_asked_for_it() -> None:
    told = asked_retrain(AskedRetrain("r1", "homes_train", "homes", "drift", "3 drifted days", AT), LINKS)
    assert told.title == "[homes] retraining after drift"
    assert told.body == "The live data drifts, so homes_train was started.\nWhy: 3 drifted days"
    assert told.kind is Kind.RETRAIN
