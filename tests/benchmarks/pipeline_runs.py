"""Runs of declared pipelines, measured: from the trigger call to success, what a stage adds, and twenty at once.

Add here another figure of runs. Keep out the peer (`airflow_peer`) and what is done with the figures (`pipelines`).
Everything is asked over HTTP, as a user would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import create_engine, text

from tests.benchmarks.pipeline_figures import spread
from tests.integration.pipeline_rig import FINAL, PipelineRig

POLL_SECONDS = 0.02
RUN_SECONDS = 180.0
WARM_UP_RUNS = 2
# Of each size; the difference is divided by the stages that one has more.
FEW, MANY = 2, 10
AT_ONCE = 20

TWO_STAGE: dict[str, Any] = {
    "name": "two_stage",
    "stages": [
        {
            "name": "prepare",
            "stage_type": "DATA_PREPROCESSING",
            "source": "import pandas as pd\ndef run():\n    return pd.DataFrame({'x': [1, 2, 3], 'y': [2, 4, 6]})",
        },
        {
            "name": "train",
            "stage_type": "MODEL_TRAINING",
            "dependencies": ["prepare"],
            "source": (
                "from sklearn.linear_model import LinearRegression\n"
                "def run(prepare, context):\n"
                "    return LinearRegression().fit(prepare[['x']], prepare['y'])\n"
            ),
        },
    ],
}


def chain(name: str, stages: int, **fields: Any) -> dict[str, Any]:
    """A pipeline of trivial stages, each of which depends on the one before."""
    made = []
    for number in range(stages):
        before = [f"s{number - 1}"] if number else []
        source = f"def run({', '.join(before)}):\n    return {number}"
        made.append({"name": f"s{number}", "stage_type": "CUSTOM", "custom_name": "step", "dependencies": before,
                     "source": source})  # fmt: skip
    return {"name": name, "stages": made, **fields}


def timed(start: Callable[[], str], status: Callable[[str], str], final: set[str], good: str) -> tuple[float, float]:
    """Seconds of the trigger call alone, and from before it until the run is seen to have succeeded.

    AssertionError: it did not succeed, or not in time.
    """
    began = time.perf_counter()
    run_id = start()
    called = time.perf_counter() - began
    while (seen := status(run_id)) not in final:
        assert time.perf_counter() - began < RUN_SECONDS, f"run {run_id} is {seen} after {RUN_SECONDS:.0f} s"
        time.sleep(POLL_SECONDS)
    taken = time.perf_counter() - began
    assert seen == good, f"run {run_id} ended as {seen}"
    return called, taken


class Runs:
    """Starts and times runs over one connection, which a user's client keeps open too."""

    def __init__(self, rig: PipelineRig) -> None:
        self._rig = rig

    def timed(self, pipeline: str) -> tuple[float, float]:
        """As `timed`, of one run of a pipeline."""
        with self._rig.client() as client:
            client.get("/templates")  # opens the connection

            def start() -> str:
                answer = client.post(f"/pipelines/{pipeline}/runs", json={})
                assert answer.status_code == 201, answer.text
                return str(answer.json()["id"])

            def status(run_id: str) -> str:
                return str(client.get(f"/runs/{run_id}").raise_for_status().json()["status"])

            return timed(start, status, FINAL, "COMPLETED")

    def stage_overhead(self, rounds: int) -> dict[str, Any]:
        """What a further stage adds to a run, in seconds: a round is a run of many trivial stages and one of few."""
        for stages in (FEW, MANY):
            self._rig.create(chain(f"chain_{stages}", stages))
            self.timed(f"chain_{stages}")
        taken: dict[int, list[float]] = {FEW: [], MANY: []}
        for _ in range(rounds):
            for stages, seconds in taken.items():
                seconds.append(self.timed(f"chain_{stages}")[1])
        added = [(many - few) / (MANY - FEW) for many, few in zip(taken[MANY], taken[FEW], strict=True)]
        return {"stage": spread(added), f"run_of_{FEW}": spread(taken[FEW]), f"run_of_{MANY}": spread(taken[MANY])}

    def queue(self, runs: int = AT_ONCE, seconds: float = 0.7) -> dict[str, Any]:
        """Many runs started at once, at the limit: how many were running at any moment, and in which order.

        Counted twice: asked of the API while they run, and afterwards from when each began and ended.
        """
        source = f"import time\ndef run():\n    time.sleep({seconds})"
        stage = {"name": "wait", "stage_type": "CUSTOM", "custom_name": "wait", "source": source}
        self._rig.create({"name": "waiting", "stages": [stage]})
        self.timed("waiting")
        began = time.perf_counter()
        ids, called = [], []
        for _ in range(runs):
            before = time.perf_counter()
            ids.append(self._rig.run("waiting"))
            called.append(time.perf_counter() - before)
        most_seen = 0
        while (left := self._count("PENDING") + (running := self._count("RUNNING"))) and (
            time.perf_counter() - began < RUN_SECONDS
        ):
            most_seen = max(most_seen, running)
            time.sleep(0.05)
        taken = time.perf_counter() - began
        details = [self._rig.read(run_id) for run_id in ids]
        limit = self._rig.settings.max_concurrent_pipeline_runs
        return {
            "runs": runs,
            "limit": limit,
            "most_seen": most_seen,
            "most_by_records": most_at_once([(detail["started_at"], detail["ended_at"]) for detail in details]),
            "completed": sum(detail["status"] == "COMPLETED" for detail in details),
            "left": left,
            "overtaken": overtaken(ids, self._launched()),
            "start_call": spread(called),
            "seconds": round(taken, 3),
            # As many as the limit at a time, and nothing but the work.
            "floor_seconds": round(-(-runs // limit) * seconds, 3),
        }

    def _count(self, status: str) -> int:
        given = {"status": status, "limit": 1, "pipeline": "waiting"}
        return int(self._rig.ask("GET", "/runs", params=given)["total"])

    def _launched(self) -> list[str]:
        """Runs in the order in which they were launched, by Dagster's log."""
        engine = create_engine(self._rig.settings.database_for("dagster"))
        asked = "SELECT run_id FROM event_logs WHERE dagster_event_type = 'PIPELINE_STARTING' ORDER BY id"
        with engine.connect() as connection:
            found = [str(run_id) for run_id in connection.execute(text(asked)).scalars()]
        engine.dispose()
        return found


def most_at_once(runs: Sequence[tuple[str, str]]) -> int:
    """The largest number of runs between their start and their end, both in ISO 8601, at the same moment."""
    moments = [(datetime.fromisoformat(began), 1) for began, _ in runs]
    moments += [(datetime.fromisoformat(ended), -1) for _, ended in runs]
    now = most = 0
    # One that ends makes place for one that starts at the same moment.
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def overtaken(ids: Sequence[str], launched: Sequence[str]) -> int:
    """How many runs were launched later than one that was ordered after them."""
    places = [launched.index(run_id) for run_id in ids]
    return sum(place > min(places[turn:]) for turn, place in enumerate(places))
