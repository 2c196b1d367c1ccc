"""Declared pipelines beside Airflow, and against their own goals: runs, deploys, requests, stages, the queue.

`python -m tests.benchmarks.pipelines [--only two_stage queue …] [--quick]` starts an installation of its own (and
Airflow 3 standalone, installed once into a folder outside the project), prints a table and writes
results/pipelines.json. Parts that aren't measured keep their last figures there. Run it while nothing else works.
"""

from __future__ import annotations

import argparse
import json
import os
import site
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import airflow_peer, pipeline_history, pipeline_requests
from tests.benchmarks.airflow_peer import Airflow
from tests.benchmarks.pipeline_deploys import BY_ITSELF, Deploys
from tests.benchmarks.pipeline_figures import spread
from tests.benchmarks.pipeline_requests import OF_THE_GOAL
from tests.benchmarks.pipeline_runs import TWO_STAGE, WARM_UP_RUNS, Runs, timed
from tests.integration.pipeline_rig import PipelineRig
from tests.servers import child_environment

RESULT = Path(__file__).parent / "results" / "pipelines.json"
PROGRAMS = ("pipelines", "runs", "stages", "daemon", "webserver", "api")
FEW, MANY, HISTORY = 10, 1_000, 10_000
GOALS = {
    "two_stage_seconds": 0.8,
    "two_stage_ratio": 4.0,
    "deploy_seconds_few": 0.5,
    "deploy_seconds_many": 2.0,
    "request_p95_seconds": 0.05,
    "stage_seconds": 0.15,
}
Part = dict[str, Any]
Verdict = tuple[str, str, bool]


def two_stage(rig: PipelineRig, options: argparse.Namespace) -> Part:
    """The smallest pipeline here and in Airflow, in turns."""
    runs = Runs(rig)
    rig.create(TWO_STAGE)
    with ExitStack() as stack:
        found: Part = {"airflow": "not measured"}
        peer: Airflow | None = None
        if not options.no_airflow:
            found["airflow"] = airflow_peer.installed(options.airflow_folder, options.airflow_constraints)
            peer = stack.enter_context(Airflow(options.airflow_folder))
            found["airflow"]["boot_seconds"] = round(peer.boot_seconds, 1)
        ways: dict[str, Callable[[], tuple[float, float]]] = {"ours": partial(runs.timed, "two_stage")}
        if peer is not None:
            ways["theirs"] = partial(timed, peer.trigger, peer.state, airflow_peer.FINAL, "success")
        for way in ways.values():
            for _ in range(WARM_UP_RUNS):
                way()
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(options.runs):
            for name, way in ways.items():
                taken[name].append(way())
        if peer is not None:
            found["airflow"]["resident_megabytes"] = round(peer.resident_megabytes())
    for name, seconds in taken.items():
        found[name] = {"call": spread([call for call, _ in seconds]), "run": spread([run for _, run in seconds])}
    if peer is not None:
        ratios = [theirs / ours for (_, ours), (_, theirs) in zip(taken["ours"], taken["theirs"], strict=True)]
        found["ratio"] = round(statistics.median(ratios), 2)
        found["smallest_ratio"] = round(min(ratios), 2)
    return found


def stage(rig: PipelineRig, options: argparse.Namespace) -> Part:
    """What one more stage adds."""
    return Runs(rig).stage_overhead(options.rounds)


def queue(rig: PipelineRig, options: argparse.Namespace) -> Part:
    """Twenty runs at the limit."""
    return Runs(rig).queue()


def deploy_few(rig: PipelineRig, options: argparse.Namespace) -> Part:
    """One more pipeline beside ten."""
    pipeline_history.fill_pipelines(rig, FEW)
    return Deploys(rig).figures(options.rounds)


def requests(rig: PipelineRig, options: argparse.Namespace) -> Part:
    """Requests on a platform with many pipelines and a month of runs."""
    pipeline_history.fill_pipelines(rig, MANY)
    pipeline_history.fill_runs(rig, options.history, MANY)
    return pipeline_requests.figures(rig, options.requests)


def deploy_many(rig: PipelineRig, options: argparse.Namespace) -> Part:
    """One more pipeline beside a thousand."""
    pipeline_history.fill_pipelines(rig, MANY)
    return Deploys(rig).figures(options.rounds)


# In this order, as each adds to what the next finds; requests last, since it leaves pipelines behind.
PARTS = {
    "two_stage": two_stage,
    "stage": stage,
    "queue": queue,
    "deploy_few": deploy_few,
    "deploy_many": deploy_many,
    "requests": requests,
}


def verdicts(result: Part) -> dict[str, Verdict]:
    """Of each goal that was measured: the figure and the goal in words, and whether it is met."""
    judges = {"two_stage": _two_stage, "stage": _stage, "queue": _queue, "requests": _requests}
    judges |= {"deploy_few": partial(_deploy, "few", FEW), "deploy_many": partial(_deploy, "many", MANY)}
    found: dict[str, Verdict] = {}
    for name, judge in judges.items():
        if name in result:
            found |= judge(result[name])
    return found


def _seconds(figure: float, goal: str) -> Verdict:
    return f"{figure:.3f} s", f"≤ {GOALS[goal]} s", figure <= GOALS[goal]


def _two_stage(part: Part) -> dict[str, Verdict]:
    found = {"two stages, trigger to success (median)": _seconds(part["ours"]["run"]["median"], "two_stage_seconds")}
    if ratio := part.get("ratio"):
        goal = GOALS["two_stage_ratio"]
        found["Airflow's time / ours (median of the turns)"] = f"{ratio:.1f} ×", f"≥ {goal} ×", ratio >= goal
    return found


def _stage(part: Part) -> dict[str, Verdict]:
    return {"one more stage (median)": _seconds(part["stage"]["median"], "stage_seconds")}


def _queue(part: Part) -> dict[str, Verdict]:
    most = max(part["most_seen"], part["most_by_records"])
    said = f"{part['completed']} completed, {most} at once, {part['overtaken']} overtaken"
    goal = f"{part['runs']} completed, ≤ {part['limit']} at once, 0 overtaken"
    met = part["completed"] == part["runs"] and most <= part["limit"] and not part["overtaken"]
    return {f"{part['runs']} runs at the limit": (said, goal, met)}


def _requests(part: Part) -> dict[str, Verdict]:
    return {f"{name} (p95)": _seconds(part[name]["p95"], "request_p95_seconds") for name in OF_THE_GOAL}


def _deploy(size: str, pipelines: int, part: Part) -> dict[str, Verdict]:
    figure = part[BY_ITSELF]["visible and runnable"]["median"]
    return {
        f"deploy to visible and runnable, {pipelines:,} pipelines (median)": _seconds(figure, f"deploy_seconds_{size}")
    }


def main() -> dict[str, Any]:
    """Measure, print, keep; what was measured."""
    options = _options()
    # As an installation is set up; running processes don't write bytecode of their own here.
    compiled = [sys.executable, "-m", "compileall", "-q", "-j", "0", *site.getsitepackages(), "mlops_assets"]
    subprocess.run(compiled, env=child_environment(), check=False, timeout=900, stdout=subprocess.DEVNULL)
    result: Part = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with PipelineRig(programs=PROGRAMS) as rig:
        for name in PARTS:
            if name in options.only:
                before = os.getloadavg()[0]
                result[name] = PARTS[name](rig, options) | {"load_average": [round(before, 2), os.getloadavg()[0]]}
                print(json.dumps({name: result[name]}), flush=True)
    found = verdicts(result)
    result["goals"] = GOALS
    result["met"] = {what: met for what, (_, _, met) in found.items()}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    table = Table("what", "measured", "goal", "met")
    for what, (figure, goal, met) in found.items():
        table.add_row(what, figure, goal, "yes" if met else "no")
    Console(width=130).print(table)
    return result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--runs", type=int, default=10, help="measured runs of each, here and in Airflow")
    parser.add_argument("--rounds", type=int, default=8, help="measured deploys of each kind, and of the stages")
    parser.add_argument("--requests", type=int, default=200, help="measured requests of each kind")
    parser.add_argument("--history", type=int, default=HISTORY, help="runs that have piled up")
    parser.add_argument("--quick", action="store_true", help="few of each: whether it works, not how fast it is")
    parser.add_argument("--no-airflow", action="store_true")
    parser.add_argument("--airflow-folder", type=Path, default=airflow_peer.FOLDER, help="its environment")
    parser.add_argument(
        "--airflow-constraints", help=f"file or address, officially {airflow_peer.official_constraints()}; none: newest"
    )
    given = parser.parse_args()
    if given.quick:
        given.runs, given.rounds, given.requests = 5, 3, 60
    return given


if __name__ == "__main__":
    sys.exit(0 if all(main()["met"].values()) else 1)
