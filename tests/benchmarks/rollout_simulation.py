"""How often the verdict of a rollout is wrong and how long it takes, beside the reference rule, by simulation.

`python -m tests.benchmarks.rollout_simulation [--runs 1000]` prints a table and writes
results/rollout_simulation.json. A look an hour for 14 days and the first verdict wins; guardrail rows look every
minute. The reference rule (`policy: threshold`) meets the same traffic; it has no guardrails and looks hourly.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mlops_assets.rollout.decide import Verdict
from mlops_assets.rollout.policy import RolloutPolicy
from mlops_assets.rollout.simulate import Outcomes, simulate
from mlops_assets.rollout.simulated_traffic import World

RESULT = Path(__file__).with_name("results") / "rollout_simulation.json"
PROCESSES = 2
MINUTE = 1 / 60
SEQUENTIAL, THRESHOLD = RolloutPolicy(), RolloutPolicy(policy="threshold")
RETURNING: dict[str, Any] = {"ratings_per_rater": 10.0}
WEEKEND: dict[str, Any] = {"weekend_dip": -0.3}


@dataclass(frozen=True)
class Cell:
    """One truth under one way to judge it, as `simulate` takes them."""

    name: str
    kind: str
    world: World
    policy: RolloutPolicy = SEQUENTIAL
    look_hours: float = 1.0
    max_hours: float | None = None
    guarded: bool = True
    stratified: bool = True
    clustered: bool = True


def cells() -> list[Cell]:
    """Every cell of the sequential policy, the slow ones first."""
    asked: tuple[tuple[str, dict[str, Any], tuple[int, ...]], ...] = (
        ("", {}, (200, 1000, 5000)),
        ("repeat raters, ", RETURNING, (1000,)),
        ("weekend dip, ", WEEKEND, (1000,)),
        ("repeat raters, weekend dip, ", RETURNING | WEEKEND, (200, 1000, 5000)),
    )
    same = [
        Cell(f"identical, {name}{rate:,}/h", "identical", World(requests_per_hour=rate, **more))
        for name, more, rates in asked
        for rate in rates
    ]
    power = [
        Cell(f"{effect:+.1f} stars, 1,000/h", "power", World(effect=effect))
        for effect in (0.1, -0.1, 0.3, -0.3, -0.6, -1.0)
    ]
    # Without ratings only a guardrail can decide, which is what the outage is about.
    outage = World(rating_rate=1e-9, outage=(6.0, 6.5))
    minutes = [
        Cell("fails 5 % of requests", "guardrail", World(candidate_errors=0.05), look_hours=MINUTE),
        Cell("fails every request", "guardrail", World(candidate_errors=1.0), look_hours=MINUTE),
        Cell("20 % slower: 15 % above production's p95", "guardrail", World(candidate_slow=0.15, candidate_ms=24.0)),
        Cell("20 → 200 ms", "guardrail", World(candidate_slow=1.0, candidate_ms=200.0), look_hours=MINUTE),
        Cell("both down for 30 min, nobody rates", "guardrail", outage, look_hours=MINUTE, max_hours=12.0),
    ]
    ramp = RolloutPolicy(steps=(0.05, 0.2, 0.5), step_hours=72)
    drifting = World(drift_per_day=-0.08)
    wrong = [
        Cell("identical, repeat raters taken for independent", "wrong", World(**RETURNING), clustered=False),
        Cell("identical, ramp 5/20/50 while ratings fall", "wrong", drifting, ramp),
        Cell("identical, the same, pooled over the ramp", "wrong", drifting, ramp, stratified=False),
    ]
    return sorted([*same, *power, *minutes, *wrong], key=lambda cell: -cell.world.requests_per_hour)


def measure(cell: Cell, runs: int, seed: int) -> dict[str, Any]:
    """Simulate one cell: shares of the verdicts, and hours to them."""
    outcomes = simulate(
        cell.policy,
        cell.world,
        runs=runs,
        seed=seed,
        look_hours=cell.look_hours,
        max_hours=cell.max_hours,
        guarded=cell.guarded,
        stratified=cell.stratified,
        clustered=cell.clustered,
    )
    return _summary(outcomes)


def reference(cell: Cell) -> Cell:
    """The same truth under the reference rule, which looks hourly and has no guardrails."""
    return replace(cell, policy=THRESHOLD, look_hours=1.0, guarded=False)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Simulate every cell under both policies, print the table, write the result file and return its content."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="simulated rollouts a cell")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    asked = cells()
    began = time.perf_counter()
    with ProcessPoolExecutor(PROCESSES) as pool:
        ours = [pool.submit(measure, cell, options.runs, options.seed) for cell in asked]
        theirs = {
            cell.name: pool.submit(measure, reference(cell), options.runs, options.seed)
            for cell in asked
            if cell.kind != "wrong"
        }
        rows: list[dict[str, Any]] = [
            {
                "name": cell.name,
                "kind": cell.kind,
                "sequential": one.result(),
                "reference": theirs[cell.name].result() if cell.name in theirs else None,
            }
            for cell, one in zip(asked, ours, strict=True)
        ]
    order = ("identical", "power", "guardrail", "wrong")
    rows.sort(key=lambda row: order.index(row["kind"]))
    result = {
        "runs": options.runs,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - began),
        "load_average": os.getloadavg()[0],
        "rows": rows,
    }
    _print(result)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _summary(outcomes: Outcomes) -> dict[str, Any]:
    decided = (Verdict.PROMOTE, Verdict.ROLL_BACK)
    return {
        "promoted": outcomes.share(Verdict.PROMOTE),
        "rolled_back": outcomes.share(Verdict.ROLL_BACK),
        "median_hours": outcomes.hours_to(*decided),
        "p90_hours": outcomes.hours_to(*decided, quantile=0.9),
    }


def _print(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['runs']} simulated rollouts a cell, {result['seconds']} s in all")
    table.add_column("candidate and traffic", no_wrap=True)
    for column in ("promoted", "rolled back", "median", "p90", "reference: promoted", "rolled back"):
        table.add_column(column, justify="right")
    kind = None
    for row in result["rows"]:
        if kind not in (None, row["kind"]):
            table.add_section()
        kind = row["kind"]
        ours, theirs = row["sequential"], row["reference"]
        table.add_row(
            row["name"],
            *(f"{ours[share]:.1%}" for share in ("promoted", "rolled_back")),
            *(_time(ours[hours]) for hours in ("median_hours", "p90_hours")),
            *(f"{theirs[share]:.1%}" if theirs else "" for share in ("promoted", "rolled_back")),
        )
    Console(width=130).print(table)


def _time(hours: float | None) -> str:
    if hours is None:
        return ""
    return f"{hours * 60:.0f} min" if hours < 3 else f"{hours:.0f} h"


if __name__ == "__main__":
    main()
