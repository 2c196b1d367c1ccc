"""The model held against figures that it wasn't made from.

Add here another point that was measured on its own. Keep out figures that `costs` reads: a model always agrees with
what it was fitted to. Points on a machine that did other work meanwhile say so by its load.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.scale import queueing
from tests.benchmarks.scale.costs import RESULTS, Costs, at

# The machine on which everything was measured.
CORES = 2
# What each of the benchmark's runs waits for (`pipeline_runs.Runs.queue`).
CLIENT_WORK_SECONDS = 0.7


@dataclass(frozen=True)
class Point:
    """What the model says and what was measured, in `unit`, and how it was."""

    name: str
    said: float
    measured: float
    unit: str
    source: str

    @property
    def off(self) -> float:
        """Of the measured figure: 0.1 is a tenth too much."""
        return self.said / self.measured - 1


def points(costs: Costs, folder: Path = RESULTS) -> list[Point]:
    """Every point. Raises CostError."""
    kept = {
        name: json.loads((folder / f"{name}.json").read_text()) for name in ("rollout_live", "gateway", "pipelines")
    }
    kept["unit_costs"] = json.loads((folder / "unit_costs.json").read_text())
    return [*_served(costs, kept), *_queued(costs, kept), *_shipped(costs, kept)]


def _served(costs: Costs, kept: dict[str, Any]) -> list[Point]:
    """One worker is one core: it ends where that is used up."""
    said = 1e6 / costs.service_cpu_us
    live = float(at(kept["rollout_live"], "gateway_requests_per_second", "rollout_live"))
    busy = float(at(kept["gateway"], "ways/gateway, named user/requests_per_second", "gateway"))
    name = "predictions a second of one worker behind the gateway"
    load = kept["gateway"]["load_average"]
    return [
        Point(name, said, live, "1/s", "rollout_live.json"),
        Point(f"{name}, machine busy (load {load:.1f})", said, busy, "1/s", "gateway.json"),
    ]


def _queued(costs: Costs, kept: dict[str, Any]) -> list[Point]:
    """Twenty runs of one waiting stage at the limit: ordered by a client, and by schedules of one minute."""
    asked, due = at(kept["pipelines"], "queue", "pipelines"), at(kept["unit_costs"], "schedules/few", "unit_costs")
    client = all_done(costs, asked["runs"], asked["limit"], asked["start_call"]["median"], CLIENT_WORK_SECONDS)
    daemon = all_done(costs, due["runs"], due["limit"], due["ordered_seconds"] / (due["runs"] - 1), due["work_seconds"])
    return [
        Point("20 runs ordered at once, limit 5, until all ended", client, asked["seconds"], "s", "pipelines.json"),
        Point(
            "20 schedules due in one minute, ordered at the measured pace",
            daemon,
            due["seconds"],
            "s",
            "unit_costs.json",
        ),
    ]


def all_done(costs: Costs, count: int, limit: int, every: float, work: float) -> float:
    """Seconds until `count` runs of one stage have ended, ordered one `every` so many seconds, on `CORES`."""
    overhead = costs.run_seconds - costs.stage_seconds
    cpu = costs.run_cpu_seconds - costs.stage_cpu_seconds
    seconds = queueing.contended(overhead + work, cpu, limit, CORES)
    queue = queueing.Queue(limit, start_seconds=costs.launch_seconds)
    return queueing.simulate(queue, queueing.burst(count, every, seconds)).ended


def _shipped(costs: Costs, kept: dict[str, Any]) -> list[Point]:
    """The lock lets one shipper write at a time: a second one adds nothing."""
    one = float(at(kept["unit_costs"], "log/one_shipper_rows_per_second", "unit_costs"))
    two = float(at(kept["unit_costs"], "log/two_shippers_rows_per_second", "unit_costs"))
    return [Point("rows a second of two shippers, from one's", one, two, "1/s", "unit_costs.json")]
