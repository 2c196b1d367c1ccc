"""Failed runs, failed gates and asked-for retrains as notices, from plain values. Pure.

Keep out Dagster: what is read of it is in `dagster_runs` and `dagster_sensors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.notifications.links import Links
from mlops_assets.notifications.notice import Kind, Notice, one_line, severity_of, titled

LONGEST_ERROR = 500
# Dagster's name for materializing assets without a job of their own.
AD_HOC = "__ASSET_JOB"


@dataclass(frozen=True)
class FailedRun:
    """A run that ended badly. `step` is None when no step failed; `error` is the first line of what was raised."""

    run_id: str
    job: str
    product: str | None
    step: str | None
    error: str
    ended_at: datetime


@dataclass(frozen=True)
class FailedGate:
    """A failed asset check. `figures` are value, limit and production's value as words; `run_id` may be empty."""

    asset: tuple[str, ...]
    check: str
    run_id: str
    storage_id: int
    partition: str | None
    blocking: bool
    description: str
    figures: Mapping[str, str]
    at: datetime


@dataclass(frozen=True)
class AskedRetrain:
    """A training run that `trigger` (rollback or drift) asked for."""

    run_id: str
    job: str
    product: str | None
    trigger: str
    said: str
    asked_at: datetime


def run_key(run_id: str) -> str:
    """The key of a failed run's notice."""
    return f"run:{run_id}"


def failed_run(run: FailedRun, links: Links) -> Notice:
    """The notice of a failed run; repeats are counted by job."""
    job = "a run of single assets" if run.job.startswith(AD_HOC) else run.job
    at_step = f" at {run.step}" if run.step else ""
    error = one_line(run.error, LONGEST_ERROR) or "no error was recorded: the run's process ended by itself"
    return Notice(
        kind=Kind.RUN_FAILED,
        product=run.product,
        subject=job,
        severity=severity_of(Kind.RUN_FAILED),
        title=titled(run.product, f"{job} failed{at_step}"),
        body=f"{error}\nRun {run.run_id}.",
        link=links.run(run.run_id),
        key=run_key(run.run_id),
        group=f"{Kind.RUN_FAILED}:{run.job}",
        at=run.ended_at,
    )


def failed_gate(gate: FailedGate, links: Links) -> Notice:
    """The notice of a failed check; repeats are counted by asset and check."""
    product, asset = gate.asset[0], "/".join(gate.asset)
    partition = f" [{gate.partition}]" if gate.partition else ""
    lines = [gate.description] if gate.description else []
    if gate.figures:
        lines.append(", ".join(f"{name} {value}" for name, value in gate.figures.items()))
    if gate.blocking:
        lines.append("It blocks: what depends on the asset didn't run.")
    lines.append(f"Asset {asset}{partition}.")
    return Notice(
        kind=Kind.GATE_FAILED,
        product=product,
        subject=f"{asset}:{gate.check}",
        severity=severity_of(Kind.GATE_FAILED),
        title=titled(product, f"{gate.check} failed{partition}"),
        body="\n".join(lines),
        link=links.run(gate.run_id) if gate.run_id else links.asset(gate.asset),
        key=f"gate:{gate.run_id or gate.storage_id}:{asset}:{gate.check}:{gate.partition or ''}",
        group=f"{Kind.GATE_FAILED}:{asset}:{gate.check}",
        at=gate.at,
    )


def asked_retrain(run: AskedRetrain, links: Links) -> Notice:
    """The notice of a training run that nobody started by hand."""
    why = {"rollback": "A release was rolled back", "drift": "The live data drifts"}.get(run.trigger, run.trigger)
    return Notice(
        kind=Kind.RETRAIN,
        product=run.product,
        subject=run.job,
        severity=severity_of(Kind.RETRAIN),
        title=titled(run.product, f"retraining after {run.trigger}"),
        body=f"{why}, so {run.job} was started." + (f"\nWhy: {one_line(run.said, LONGEST_ERROR)}" if run.said else ""),
        link=links.run(run.run_id),
        key=f"retrain:{run.run_id}",
        group=f"{Kind.RETRAIN}:{run.job}:{run.trigger}",
        at=run.asked_at,
    )
