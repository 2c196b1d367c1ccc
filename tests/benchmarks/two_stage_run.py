"""How long a two-stage run takes, from the GraphQL launch call to SUCCESS: forked, and as Dagster does it
by default.

`python -m tests.benchmarks.two_stage_run [--runs 20]`
Both platforms run side by side on the same machine and are measured in turns; Dagster's one launches at
once too (DefaultRunCoordinator), so the difference is the launcher and the executor, not the queue.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.integration.run_platform import FINAL, Options, Platform

RESULT = Path(__file__).with_name("results") / "two_stage_run.json"
GOAL_SECONDS = 1.2
POLL_SECONDS = 0.01
WARM_UP_RUNS = 3
EVENTS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events { __typename
  ... on MessageEvent { timestamp message } } } } }"""
# Each phase ends with the first event of its type (and, for engine events, text); it begins where the last
# one ended.
PHASES = (
    ("webserver: create the run, admit it", "RunStartingEvent", ""),
    ("fork, tags, instance, first event", "EngineEvent", "Started process for run"),
    ("definitions and plan", "RunStartEvent", ""),
    ("resources and log capture", "ExecutionStepStartEvent", ""),
    ("steps and their events", "EngineEvent", "Finished steps"),
    ("success", "RunSuccessEvent", ""),
)


@dataclass(frozen=True)
class Timing:
    """One run, in seconds: the launch call, the whole as polled, the whole by the event log, its phases."""

    launch: float
    polled: float
    logged: float
    phases: dict[str, float]


def measure(platform: Platform, job: str) -> Timing:
    """Launch a job and poll until it has succeeded. Raises AssertionError when it doesn't."""
    begin_wall, begin = time.time(), time.perf_counter()
    run = platform.launch(job)
    launched = time.perf_counter()
    while (status := platform.status(run)) not in FINAL:
        time.sleep(POLL_SECONDS)
    done = time.perf_counter()
    assert status == "SUCCESS", f"run {run} of {job}: {status}"
    events = platform.query(EVENTS, id=run)["logsForRun"]["events"]
    phases, previous = {}, begin_wall
    for name, kind, text in PHASES:
        moment = _moment(events, kind, text)
        if moment is not None:
            phases[name] = moment - previous
            previous = moment
    return Timing(launched - begin, done - begin, previous - begin_wall, phases)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure both platforms, print a table, write the result file and return its content."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="measured runs of the forked platform")
    parser.add_argument("--default-runs", type=int, default=5, help="measured runs of Dagster's default")
    options = parser.parse_args(arguments)
    forked: list[Timing] = []
    isolated: list[Timing] = []
    default: list[Timing] = []
    with Platform(Options()) as ours, Platform(Options(forked=False, direct_logs=False)) as theirs:
        memory = ours.client.status().resident_megabytes
        for _ in range(WARM_UP_RUNS):
            measure(ours, "two_stage")
            measure(ours, "two_stage_isolated")
        measure(theirs, "two_stage_default")
        for index in range(options.runs):
            forked.append(measure(ours, "two_stage"))
            isolated.append(measure(ours, "two_stage_isolated"))
            if index < options.default_runs:
                default.append(measure(theirs, "two_stage_default"))
    result: dict[str, Any] = {
        "goal_seconds": GOAL_SECONDS,
        "forked": _summary(forked),
        "forked_with_a_process_per_step": _summary(isolated),
        "default": _summary(default),
        "ratio_of_medians": round(_median(default, "polled") / _median(forked, "polled"), 2),
        "fork_server_resident_megabytes": memory,
    }
    result["goal_met"] = result["forked"]["polled"]["p95"] <= GOAL_SECONDS
    _print(result)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _moment(events: list[dict[str, Any]], kind: str, text: str) -> float | None:
    for event in events:
        if event["__typename"] == kind and text in (event.get("message") or ""):
            return float(event["timestamp"]) / 1000
    return None


def _median(timings: list[Timing], name: str) -> float:
    return statistics.median(getattr(timing, name) for timing in timings)


def _summary(timings: list[Timing]) -> dict[str, Any]:
    def numbers(values: list[float]) -> dict[str, float]:
        ordered = sorted(values)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        return {
            "median": round(statistics.median(ordered), 3),
            "p95": round(p95, 3),
            "max": round(ordered[-1], 3),
        }

    names = [name for name, _, _ in PHASES if all(name in timing.phases for timing in timings)]
    return {
        "runs": len(timings),
        "launch_call": numbers([timing.launch for timing in timings]),
        "polled": numbers([timing.polled for timing in timings]),
        "logged": numbers([timing.logged for timing in timings]),
        "phases": {name: numbers([timing.phases[name] for timing in timings]) for name in names},
    }


def _print(result: dict[str, Any]) -> None:
    title = f"Two-stage run, seconds (median / p95); goal p95 ≤ {GOAL_SECONDS} s, met: {result['goal_met']}"
    table = Table(title=title)
    table.add_column("what", no_wrap=True)
    columns = ("forked", "forked_with_a_process_per_step", "default")
    for name in ("forked", "+ step processes", "Dagster default"):
        table.add_column(name, justify="right", no_wrap=True)

    def cell(numbers: dict[str, float] | None) -> str:
        return f"{numbers['median']:.3f} / {numbers['p95']:.3f}" if numbers else ""

    for label, key in (("launch call", "launch_call"), ("launch to SUCCESS", "polled"), ("by log", "logged")):
        table.add_row(label, *(cell(result[column][key]) for column in columns))
    for name in result["forked"]["phases"]:
        table.add_row(f"  {name}", *(cell(result[column]["phases"].get(name)) for column in columns))
    console = Console(width=110)
    console.print(table)
    console.print(
        f"default / forked: {result['ratio_of_medians']}; "
        f"fork server: {result['fork_server_resident_megabytes']:.0f} MB resident"
    )


if __name__ == "__main__":
    main()
