"""Random kills of the platform's processes while declared pipelines run: no run may be lost or stay unfinished.

`python -m tests.benchmarks.pipeline_kills [--kills 30] [--seed 1]` starts an installation of its own, orders runs all
the time, kills one process after another with -9 (a program of the platform, the database, or the process of a run),
starts it again as the supervisor would, and afterwards asks for every run that was acknowledged. Writes
results/pipeline_kills.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy
from rich.console import Console
from rich.table import Table

from mlops_assets.runs.process import ProcessIdentity
from tests.benchmarks.pipeline_runs import chain
from tests.integration.pipeline_rig import FINAL, PipelineRig

RESULT = Path(__file__).parent / "results" / "pipeline_kills.json"
PROGRAMS = ("pipelines", "runs", "stages", "daemon", "webserver", "api")
RUN = "a run's process"
VICTIMS = (*PROGRAMS, "postgres", RUN)
# A stage that takes a moment, so that a kill finds runs at work; a lost process is worth a second try.
SLEEPING = "import time\n    time.sleep(0.4)\n    return"
ORDER_SECONDS = 1.2
BETWEEN_SECONDS = (2.0, 6.0)
SETTLE_SECONDS = 240.0


class Orders(threading.Thread):
    """Somebody who keeps ordering runs, each with a key of its own, again until it is acknowledged."""

    def __init__(self, rig: PipelineRig) -> None:
        super().__init__(name="orders", daemon=True)
        self._rig = rig
        self.ended = threading.Event()
        self.acknowledged: list[str] = []
        self.repeated = 0

    def run(self) -> None:
        """Order until told to end; the last order is seen through."""
        while not self.ended.wait(ORDER_SECONDS):
            headers = {"Idempotency-Key": str(uuid.uuid4())}
            for attempt in range(1000):
                with suppress(httpx.HTTPError), self._rig.client() as client:
                    answer = client.post("/pipelines/chain/runs", json={}, headers=headers)
                    if answer.status_code == 201:
                        self.acknowledged.append(answer.json()["id"])
                        break
                self.repeated += attempt == 0
                time.sleep(0.3)


def kill(rig: PipelineRig, victim: str) -> bool:
    """End it without warning and start it again; False if no run was at work to be killed."""
    if victim == RUN:
        process = process_of_a_run(rig)
        return process is not None and process.kill_group()
    if victim == "postgres":
        # What a killed postmaster leaves would be found by the next one; quit at once is what a power cut looks like.
        rig.restart("postgres", signal.SIGQUIT)
    else:
        rig.restart(victim, signal.SIGKILL)
    return True


def process_of_a_run(rig: PipelineRig) -> ProcessIdentity | None:
    """The process of some run that goes, None if none does."""
    asked = (
        "SELECT t.value FROM dagster.run_tags t JOIN dagster.runs r USING (run_id) "
        "WHERE t.key = 'mlops/run_process' AND r.status = 'STARTED' ORDER BY r.id LIMIT 1"
    )
    engine = sqlalchemy.create_engine(rig.settings.database, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        found = connection.scalar(sqlalchemy.text(asked))
    return ProcessIdentity.parse(found) if found else None


def outcomes(rig: PipelineRig, runs: list[str]) -> dict[str, list[str]]:
    """The acknowledged runs, or those that took them up, by how they ended; LOST are those that nobody knows."""
    every: dict[str, Any] = {}
    cursor: str | None = None
    while True:
        page = rig.ask("GET", "/runs", params={"limit": 500} | ({"cursor": cursor} if cursor else {}))
        every |= {run["id"]: run for run in page["items"]}
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    after = {run["retry_of"]: run_id for run_id, run in every.items() if run["retry_of"]}
    found: dict[str, list[str]] = {"LOST": []}
    for run_id in runs:
        newest = run_id
        while newest in after:
            newest = after[newest]
        found.setdefault(every[newest]["status"] if newest in every else "LOST", []).append(newest)
    return found


def reasons(rig: PipelineRig, failed: list[str]) -> Counter[str]:
    """The beginnings of what runs failed of."""
    return Counter(str(rig.read(run_id)["error"])[:160] for run_id in failed)


def measure(kills: int, seed: int) -> dict[str, Any]:
    """Order, kill, wait, count."""
    chosen = random.Random(seed)
    with PipelineRig(programs=PROGRAMS) as rig:
        spec = chain("chain", 3)
        for stage in spec["stages"]:
            stage["source"] = stage["source"].replace("return", SLEEPING)
            stage["retry_count"] = 2
        rig.create(spec)
        rig.finish(rig.run("chain"))
        orders = Orders(rig)
        orders.start()
        victims: Counter[str] = Counter()
        while victims.total() < kills:
            time.sleep(chosen.uniform(*BETWEEN_SECONDS))
            victim = chosen.choice(VICTIMS)
            if kill(rig, victim):
                victims[victim] += 1
                print(f"{victims.total():3} killed: {victim}; {len(orders.acknowledged)} runs ordered", flush=True)
        orders.ended.set()
        orders.join(120)
        began = time.monotonic()
        while True:
            found = outcomes(rig, orders.acknowledged)
            unfinished = sum(len(ids) for status, ids in found.items() if status not in FINAL)
            if not unfinished or time.monotonic() - began > SETTLE_SECONDS:
                break
            time.sleep(1)
        return {
            "kills": dict(sorted(victims.items())),
            "seed": seed,
            "runs": len(orders.acknowledged),
            "orders_repeated": orders.repeated,
            "outcomes": {status: len(ids) for status, ids in found.items() if ids},
            "lost": len(found["LOST"]),
            "stuck": unfinished - len(found["LOST"]),
            "failed_of": dict(reasons(rig, found.get("FAILED", []))),
            "settled_seconds": round(time.monotonic() - began, 1),
            "folders_left": len(list(rig.settings.stage_folders.iterdir())),
            "load_average": round(os.getloadavg()[0], 2),
        }


def main() -> dict[str, Any]:
    """Measure, print, keep; what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = measure(options.kills, options.seed)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    table = Table("what", "measured", "goal")
    table.add_row("processes killed", str(sum(result["kills"].values())), str(options.kills))
    table.add_row("runs ordered and acknowledged", str(result["runs"]), "")
    table.add_row("lost", str(result["lost"]), "0")
    table.add_row("stuck", str(result["stuck"]), "0")
    table.add_row("ended as", ", ".join(f"{n} {s}" for s, n in result["outcomes"].items()), "")
    for reason, count in result["failed_of"].items():
        table.add_row(f"failed: {count}", reason, "")
    table.add_row("working folders left", str(result["folders_left"]), "0")
    Console(width=110).print(table)
    return result


if __name__ == "__main__":
    done = main()
    sys.exit(0 if not done["lost"] and not done["stuck"] else 1)
