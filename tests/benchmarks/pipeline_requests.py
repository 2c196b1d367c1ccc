"""What requests take on a platform that has been used: create, get and list, one after another over one connection.

Add a request here when people wait for it. Keep out what is in the platform (`pipeline_history`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.benchmarks.pipeline_figures import spread
from tests.benchmarks.pipeline_runs import TWO_STAGE
from tests.integration.pipeline_rig import PipelineRig

WARM_UP = 5
Ask = Callable[[httpx.Client, int], httpx.Response]


def reads(names: list[str], runs: list[str]) -> dict[str, Ask]:
    """The requests that change nothing, each with what tells its turns apart."""

    def got(path: str, **given: Any) -> Ask:
        return lambda client, turn: client.get(path, params=given)

    return {
        "get a pipeline": lambda client, turn: client.get(f"/pipelines/{names[turn % len(names)]}"),
        "list pipelines": lambda client, turn: client.get("/pipelines", params={"offset": 50 * (turn % 20)}),
        "list pipelines, newest first": got("/pipelines", sort="-updated_at"),
        "list pipelines with a word": lambda client, turn: client.get("/pipelines", params={"q": f"line {turn}"}),
        "list pipelines with a tag": lambda client, turn: client.get(
            "/pipelines", params={"tag": f"team=team-{turn % 20}"}
        ),
        "get a run": lambda client, turn: client.get(f"/runs/{runs[turn % len(runs)]}"),
        "list runs": got("/runs"),
        "list runs that failed": got("/runs", status="FAILED"),
        "list runs of a pipeline": lambda client, turn: client.get(f"/pipelines/{names[turn % len(names)]}/runs"),
        "list artifacts": got("/artifacts"),
        "statistics": got("/statistics"),
    }


CREATE = "create and deploy a pipeline"
CREATE_ONLY = "create a pipeline"
# What the goal is about; the rest is measured beside it.
OF_THE_GOAL = (CREATE, CREATE_ONLY, "get a pipeline", "list pipelines", "get a run", "list runs")


def figures(rig: PipelineRig, count: int) -> dict[str, Any]:
    """Seconds of each kind of request, `count` times each; the creations last, as they add to what is there."""
    names = [f"seeded_{number:04d}" for number in random.sample(range(1000), 100)]
    found: dict[str, Any] = {}
    with rig.client() as client:
        runs = [run["id"] for run in client.get("/runs", params={"limit": 500}).raise_for_status().json()["items"]]
        random.shuffle(runs)
        for name, ask in (reads(names, runs) | creations()).items():
            taken = [_seconds(client, ask, turn) for turn in range(count + WARM_UP)]
            found[name] = spread(taken[WARM_UP:])
    return found


def creations() -> dict[str, Ask]:
    """The requests that add a pipeline."""
    return {
        CREATE_ONLY: lambda client, turn: client.post(
            "/pipelines", params={"deploy": False}, json={**TWO_STAGE, "name": f"draft_{turn:04d}"}
        ),
        CREATE: lambda client, turn: client.post("/pipelines", json={**TWO_STAGE, "name": f"created_{turn:04d}"}),
    }


def _seconds(client: httpx.Client, ask: Ask, turn: int) -> float:
    began = time.perf_counter()
    answer = ask(client, turn)
    taken = time.perf_counter() - began
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return taken
