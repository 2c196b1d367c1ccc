"""How soon faults are alerted under the right name, on a whole installation; and how often nothing is wrong.

`python -m tests.benchmarks.alerting` makes every fault of `alerting_faults`, one after the other, and measures until
Alertmanager has the alert; `--quick` makes six. `--healthy MINUTES` counts alerts under light load, without a fault.
Prints a table and writes results/alerting.json. As root the installation is on a disk of its own, which can be filled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from mlops_assets.api.orchestrator import Orchestrator
from tests.benchmarks.alerting_faults import FAULTS, PIPELINES, QUICK, Fault, Target
from tests.e2e.installation import Installation, installation

RESULT = Path(__file__).parent / "results" / "alerting.json"
LONGEST_SECONDS = 240.0
GONE_SECONDS = 240.0
GOAL_SECONDS = 60.0
DISK = "3g"
# Long enough for every job's first look and scrape.
SETTLE_SECONDS = 60.0
JOB_EVERY_SECONDS = 60.0


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="six faults")
    parser.add_argument("--healthy", type=float, default=0, metavar="MINUTES", help="count alerts without a fault")
    asked = parser.parse_args()
    # Faults and health are measured in runs of their own; each keeps what the other found.
    result: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    load = {"load_average_at_start": os.getloadavg()[0]}
    with on_own_disk() as own_disk, installation() as made:
        made.ok("up", "--monitoring")
        target = Target(made)
        for name, source in PIPELINES.items():
            target.pipeline(name, source)
        time.sleep(SETTLE_SECONDS)
        if asked.healthy:
            result["healthy"] = load | healthy(made, target, asked.healthy)
        else:
            faults = FAULTS[:QUICK] if asked.quick else FAULTS
            found = [measure(made, target, fault) for fault in faults if own_disk or not fault.name.startswith("disk")]
            result |= load | {"faults": found} | summary(found)
    show(result)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


@contextmanager
def on_own_disk() -> Iterator[bool]:
    """Temporary folders are on a disk of their own meanwhile, if we may make one; whether they are."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alerting-", ignore_cleanup_errors=True)))
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "alerting", str(place)],
            capture_output=True,
            check=False,
        )
        if made.returncode == 0:
            stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=False)
            before = tempfile.tempdir
            tempfile.tempdir = str(place)
            stack.callback(setattr, tempfile, "tempdir", before)
        yield made.returncode == 0


def alerts(made: Installation) -> list[dict[str, str]]:
    """The labels of every alert that Alertmanager has, inhibited ones too; none while it doesn't answer."""
    try:
        answer = httpx.get(f"{made.settings.alertmanager_url}/api/v2/alerts", timeout=5, trust_env=False)
        return [alert["labels"] for alert in answer.raise_for_status().json()]
    except (httpx.HTTPError, ValueError):
        return []


def told(made: Installation, fault: Fault) -> bool:
    """Whether the fault's alert is there."""
    return any(
        labels["alertname"] == fault.alert and all(labels.get(name) == value for name, value in fault.labels)
        for labels in alerts(made)
    )


def measure(made: Installation, target: Target, fault: Fault) -> dict[str, Any]:
    """Make a fault, wait for its alert, end it, wait until the alert is gone."""
    assert not told(made, fault), f"{fault.alert} fires before {fault.name}"
    began = time.monotonic()
    seconds: float | None = None
    with fault.make(target):  # type: ignore[attr-defined]
        while seconds is None and time.monotonic() - began < LONGEST_SECONDS:
            if told(made, fault):
                seconds = time.monotonic() - began
            time.sleep(0.25)
        beside = sorted({labels["alertname"] for labels in alerts(made)} - {fault.alert, "Watchdog"})
    ended = time.monotonic()
    while told(made, fault) and time.monotonic() - ended < GONE_SECONDS:
        time.sleep(1)
    over = time.monotonic() - ended
    said = "not within 240 s" if seconds is None else f"{seconds:.0f} s"
    Console().print(f"{fault.name}: {fault.alert} {said}; over after {over:.0f} s; beside it {beside}")
    quiet = time.monotonic()
    while {labels["alertname"] for labels in alerts(made)} - {"Watchdog"} and time.monotonic() - quiet < GONE_SECONDS:
        time.sleep(1)
    return {"fault": fault.name, "alert": fault.alert, "seconds": seconds, "over_seconds": over, "beside": beside}


def summary(faults: list[dict[str, Any]]) -> dict[str, Any]:
    """How many were told, and how soon."""
    seconds = [fault["seconds"] for fault in faults if fault["seconds"] is not None]
    return {
        "made": len(faults),
        "alerted": len(seconds),
        "median_seconds": statistics.median(seconds) if seconds else None,
        "longest_seconds": max(seconds, default=None),
        "met": len(seconds) == len(faults) and statistics.median(seconds) <= GOAL_SECONDS,
    }


def healthy(made: Installation, target: Target, minutes: float) -> dict[str, Any]:
    """Alerts seen while users ask now and then and a job runs every minute."""
    seen: Counter[str] = Counter()
    until, next_job, jobs = time.monotonic() + 60 * minutes, 0.0, 0
    with target.traffic(5), Orchestrator.of(made.settings) as orchestrator:
        while time.monotonic() < until:
            if time.monotonic() >= next_job:
                orchestrator.launch("platform_self_test")
                next_job, jobs = time.monotonic() + JOB_EVERY_SECONDS, jobs + 1
            seen.update({labels["alertname"] for labels in alerts(made)})
            time.sleep(5)
    watched = seen.pop("Watchdog", 0)
    return {"minutes": minutes, "jobs": jobs, "watchdog_looks": watched, "false_alerts": dict(seen)}


def show(result: dict[str, Any]) -> None:
    table = Table("fault", "alert", "seconds", "also")
    for fault in result.get("faults", ()):
        seconds = "never" if fault["seconds"] is None else f"{fault['seconds']:.0f}"
        table.add_row(fault["fault"], fault["alert"], seconds, ", ".join(fault["beside"]))
    console = Console()
    console.print(table)
    console.print({name: value for name, value in result.items() if name != "faults"})


if __name__ == "__main__":
    main()
