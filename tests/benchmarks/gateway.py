"""What the gateway costs: the real service asked directly and through Envoy, in turns, in one run.

`python -m tests.benchmarks.gateway [--rounds 9] [--seconds 2]` serves a pinned release with one worker, puts the
gateway before it in the middle of a comparison, and asks both with wrk: over 16 connections for requests/s, over one
for the time it adds. Through the gateway once with a user in the header and once as a visitor who is new each time,
the dearest kind. Ratios and differences are of one round, so that they share whatever else the machine does. Goals,
for named users: 0.75 of the direct requests/s, at most 1 ms added at the median.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from operator import sub, truediv
from pathlib import Path
from typing import Any

import psutil

from mlops_assets.rollout import gateway
from mlops_assets.rollout.phases import Phase
from mlops_assets.rollout.state import State
from tests.benchmarks import serving
from tests.benchmarks.reported import report
from tests.servers import free_port, process

RESULT = Path(__file__).parent / "results" / "gateway.json"
PRODUCT = "house_prices"
ENVOY = Path(sys.executable).parent / "envoy"
CONNECTIONS = 16
DIRECT, NAMED, NEW = "directly", "gateway, named user", "gateway, new visitor"
GOALS = {"of_direct": 0.75, "added_p50_ms": 1.0}
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
%s
wrk.body = [[%s]]
"""


def gateway_files(folder: Path, service: int, port: int, metrics_port: int) -> tuple[str, ...]:
    """The files of a gateway before one service, which plays both roles of a comparison; the command to run."""
    upstreams = [gateway.Upstream(PRODUCT, 0, (serving.ROUTE,), service, service)]
    state = State(PRODUCT, production=1, candidate=2, candidate_share=0.2, rollout=1, phase=Phase.RAMP)
    limits = gateway.Limits(requests_per_second=1_000_000)
    gateway.write(
        folder / "routes.json", gateway.routes(upstreams, {PRODUCT: state}, operator_token="t" * 43, limits=limits)
    )
    config = gateway.bootstrap(
        upstreams, host="127.0.0.1", port=port, metrics_port=metrics_port, admin_socket=folder / "admin.sock",
        routes_file=folder / "routes.json", failures_log=folder / "failures.jsonl", limits=limits,
    )  # fmt: skip
    gateway.write(folder / "bootstrap.json", config)
    return gateway.command(ENVOY, folder / "bootstrap.json")


def ask(port: int, script: Path, seconds: int, connections: int) -> dict[str, float]:
    """One wrk run: requests/s and p50 in ms. RuntimeError when any request failed."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{serving.ROUTE}"],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"requests failed:\n{done.stdout}")
    value, unit = re.findall(r"50%\s+([\d.]+)(us|ms|s)", done.stdout)[0]
    return {
        "requests_per_second": float(re.findall(r"Requests/sec:\s+([\d.]+)", done.stdout)[0]),
        "p50_ms": float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit],
    }


def measure(rounds: int, seconds: int) -> dict[str, Any]:
    """Every round of every way, the medians, and the gateway's own time and memory."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary, ExitStack() as running:
        folder = Path(temporary)
        prepared = serving.prepare(folder)
        ports = serving._free_ports()
        service, port, metrics_port = ports[serving.OURS], free_port(), free_port()
        command = serving._commands(ports)[serving.OURS]
        environment = serving._environment(prepared, folder)
        running.enter_context(serving.server(command, environment, service, prepared.request))
        started = process(
            gateway_files(folder, service, port, metrics_port),
            folder / "gateway.log",
            lambda: serving._answers(port, prepared.request),
        )
        envoy = psutil.Process(running.enter_context(started).pid).children()[0]
        ways = {}
        for name, header, target in (
            (DIRECT, "", service),
            (NAMED, 'wrk.headers["x-user-id"] = "user-4711"', port),
            (NEW, "", port),
        ):
            script = folder / f"{len(ways)}.lua"
            script.write_text(SCRIPT % (header, json.dumps(prepared.request)))
            ways[name] = (target, script)
            ask(target, script, 1, CONNECTIONS)
        loaded, alone, cpu = _rounds(ways, rounds, seconds, envoy)
        memory = envoy.memory_info().rss / 1e6
    return _summary(loaded, alone, cpu) | {"envoy_mb": round(memory, 1), "rounds": rounds, "seconds": seconds}


def _rounds(ways: dict[str, tuple[int, Path]], rounds: int, seconds: int, envoy: psutil.Process) -> tuple[Any, ...]:
    loaded: dict[str, list[float]] = {name: [] for name in ways}
    alone: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (port, script) in ways.items():
            before = sum(envoy.cpu_times()[:2])
            found = ask(port, script, seconds, CONNECTIONS)
            used = sum(envoy.cpu_times()[:2]) - before
            loaded[name].append(found["requests_per_second"])
            cpu[name].append(used / (found["requests_per_second"] * seconds) * 1e6)
        for name, (port, script) in ways.items():
            alone[name].append(ask(port, script, max(1, seconds // 2), 1)["p50_ms"])
    return loaded, alone, cpu


def _summary(
    loaded: dict[str, list[float]], alone: dict[str, list[float]], cpu: dict[str, list[float]]
) -> dict[str, Any]:
    ways = {
        name: {
            "requests_per_second": round(statistics.median(loaded[name]), 1),
            "of_direct": round(statistics.median(map(truediv, loaded[name], loaded[DIRECT])), 3),
            "p50_alone_ms": round(statistics.median(alone[name]), 3),
            "added_p50_ms": round(statistics.median(map(sub, alone[name], alone[DIRECT])), 3),
            "envoy_cpu_us": round(statistics.median(cpu[name]), 1),
        }
        for name in loaded
    }
    named = ways[NAMED]
    met = named["of_direct"] >= GOALS["of_direct"] and named["added_p50_ms"] <= GOALS["added_p50_ms"]
    return {"ways": ways, "goals": GOALS, "goals_met": met, "load_average": os.getloadavg()[0]}


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("way", "requests/s", "of direct", "p50 alone ms", "added ms", "Envoy µs", title="One service worker")
    for name, row in result["ways"].items():
        table.add_row(
            name, f"{row['requests_per_second']:,.0f}", f"{row['of_direct']:.2f}", f"{row['p50_alone_ms']:.2f}",
            f"{row['added_p50_ms']:.2f}", f"{row['envoy_cpu_us']:.0f}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print({"goals": result["goals"], "goals_met": result["goals_met"], "envoy_mb": result["envoy_mb"]})


def main() -> dict[str, Any]:
    """Measure, print the table, write the result; exit status 1 when a goal is missed."""
    return report(RESULT, __doc__, measure, show, rounds=9, seconds=2)


if __name__ == "__main__":
    sys.exit(0 if main()["goals_met"] else 1)
