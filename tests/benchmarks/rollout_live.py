"""A live rollout in figures, on a whole installation with the real gateway, services, log and database.

`python -m tests.benchmarks.rollout_live [--requests 200000] [--moves 20] [--kills 50]` starts an installation of its
own on sample data, trains two releases, prints a table and writes results/rollout_live.json:

- requests that failed during promotions, rollbacks and restarts under load
- acknowledged predictions and feedback that were lost over random `kill -9`
- a candidate that fails every request: failures users saw, seconds until it gets no request
- a rollback: seconds from the decision to the last answer of the withdrawn release
- users that moved while the share was constant, and when it rose
- requests/s and p50 through the gateway with logging, against the bare service of the same run
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from mlops_assets.rollout.phases import Phase
from mlops_assets.settings import PROJECT
from tests.benchmarks.serving import server
from tests.e2e.installation import installation
from tests.e2e.load import BODY, PRODUCT, ROUTE, Client, Stage, Wrk, doubled, kills_under_load, lost, moves_under_load
from tests.servers import free_port, wait_until

RESULT = Path(__file__).parent / "results" / "rollout_live.json"
BIN = Path(sys.executable).parent
USERS = 400
ROUNDS, ROUND_SECONDS = 3, 8
GOALS: dict[str, tuple[str, float]] = {
    "failed_requests": ("==", 0),
    "lost_predictions": ("==", 0),
    "lost_feedback": ("==", 0),
    "failing_users_saw": ("==", 0),
    "failing_out_seconds": ("<=", 5),
    "rollback_seconds": ("<=", 2),
    "moved_at_constant_share": ("==", 0),
    "moved_back_when_rising": ("==", 0),
    "gateway_share_of_bare": (">=", 0.75),
    "gateway_added_p50_ms": ("<=", 1),
}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--kills", type=int, default=50)
    asked = parser.parse_args(arguments)
    with installation() as made, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made.ok("up")
        stage = Stage.of(made)
        stage.second_release()
        stage.wait_state(lambda s: s.comparing)
        result: dict[str, Any] = {}
        result |= asyncio.run(users_move(stage))
        result |= asyncio.run(failing(stage))
        result |= asyncio.run(rollback(stage))
        result |= against_bare(stage, folder)
        result |= moves(stage, folder, asked.requests, asked.moves)
        result |= kills(stage, asked.kills)
        stage.database.dispose()
    show(result)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    return result


async def versions(client: httpx.AsyncClient, users: int) -> dict[str, str]:
    """Which variant each of so many users gets now."""

    async def ask(number: int) -> tuple[str, str]:
        answer = await client.post(ROUTE, json=BODY, headers={"x-user-id": f"user-{number}"})
        return f"user-{number}", answer.headers["x-served-by"]

    found: dict[str, str] = {}
    for first in range(0, users, 20):
        found |= dict(await asyncio.gather(*(ask(n) for n in range(first, min(first + 20, users)))))
    return found


async def users_move(stage: Stage) -> dict[str, Any]:
    """Users that change variant while the share stays 20 %, and in which direction when it rises to 50 %."""
    # The gateway follows a decision within 2 s; until then nobody is split.
    await asyncio.sleep(2)
    async with httpx.AsyncClient(base_url=stage.gateway, timeout=10) as client:
        rounds = [await versions(client, USERS) for _ in range(3)]
        stage.ledger.share(PRODUCT, 0.5, actor="benchmark", reason="does anybody move back?")
        await asyncio.sleep(2)
        risen = await versions(client, USERS)
    first = rounds[0]
    return {
        "users": USERS,
        "moved_at_constant_share": sum(r[user] != first[user] for r in rounds[1:] for user in first),
        "moved_to_candidate_when_rising": sum(risen[u] == "candidate" and first[u] == "production" for u in first),
        "moved_back_when_rising": sum(risen[u] == "production" and first[u] == "candidate" for u in first),
    }


async def failing(stage: Stage) -> dict[str, Any]:
    """A candidate that fails every request from one moment on, at 20 requests/s of which it is given 20 %."""
    stage.ledger.share(PRODUCT, 0.2, actor="benchmark", reason="the usual share")
    await asyncio.sleep(2)
    port = stage.made.settings.ports.candidate(0)
    order = stage.made.settings.run_dir / "drill.json"
    seen: Counter[str] = Counter()

    async def tries() -> float:
        text = (await plain.get(f"http://127.0.0.1:{port}/metrics")).text
        counted = (line for line in text.splitlines() if line.startswith("prediction_errors_total{"))
        return sum(float(line.rpartition(" ")[2]) for line in counted)

    async with (
        httpx.AsyncClient(base_url=stage.gateway, timeout=10) as client,
        httpx.AsyncClient(timeout=5) as plain,
    ):
        fresh = order.with_suffix(".new")
        fresh.write_text(json.dumps({"variant": "candidate", "until": time.time() + 120, "fail_share": 1.0}))
        fresh.rename(order)
        began, last_try, before = time.monotonic(), 0.0, await tries()
        for number in range(20 * 12):
            await asyncio.sleep(max(0.0, began + number / 20 - time.monotonic()))
            answer = await client.post(ROUTE, json=BODY, headers={"x-user-id": f"user-{number % USERS}"})
            seen[str(answer.status_code)] += 1
            now = await tries()
            if now > before:
                before, last_try = now, time.monotonic() - began
            if time.monotonic() - began > last_try + 6 and number > 160:
                break
        order.unlink()
    failures = sum(count for status, count in seen.items() if status != "200")
    return {"failing_requests": sum(seen.values()), "failing_users_saw": failures, "failing_out_seconds": last_try}


async def rollback(stage: Stage) -> dict[str, Any]:
    """Promote, let everybody be served by the new release, roll back, and watch for its last answer."""
    bad = stage.state().candidate or stage.state().production
    if stage.state().candidate is not None:
        stage.ledger.promote(PRODUCT, "benchmark", "to be rolled back")
    else:
        stage.ledger.promote(PRODUCT, "benchmark", "to be rolled back", version=2)
        bad = 2
    stage.wait_version(bad or 0)
    took = []
    async with httpx.AsyncClient(base_url=stage.gateway, timeout=10) as client:
        for number in range(3):
            await asyncio.sleep(1)
            decided = time.monotonic()
            stage.ledger.rollback(PRODUCT, actor="benchmark", reason="bad answers", retrain=False)
            last = 0.0
            while time.monotonic() - decided < 5:
                answer = await client.post(ROUTE, json=BODY, headers={"x-user-id": f"user-{number}"})
                if answer.headers["x-model-version"] == str(bad):
                    last = time.monotonic() - decided
            took.append(last)
            stage.ledger.promote(PRODUCT, "benchmark", "again", version=bad)
            await asyncio.to_thread(stage.wait_version, bad or 0)
    return {"rollback_seconds": max(took), "rollback_rounds": took}


def against_bare(stage: Stage, folder: Path) -> dict[str, Any]:
    """Requests/s and p50 of the bare service and through the gateway with logging, in turn."""
    port = free_port()
    version = stage.state().production or 0
    release = stage.made.home / "storage" / PRODUCT / "releases" / str(version)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
        "BENTOML_HOME": str(folder / "bento"),
        "MLOPS_SERVING_PRODUCT": PRODUCT,
        "MLOPS_SERVING_ROUTE": ROUTE.rpartition("/")[2],
        "MLOPS_SERVING_ANSWER": "estimated_price",
        "MLOPS_SERVING_PINNED": str(release),
    }
    command = [str(BIN / "bentoml"), "serve", "inference.service:service", "--working-dir", str(PROJECT)]
    found: dict[str, list[dict[str, Any]]] = {"bare": [], "gateway": []}
    with server([*command, "--host", "127.0.0.1", "--port", str(port)], environment, port, BODY):
        urls = {"bare": f"http://127.0.0.1:{port}{ROUTE}", "gateway": stage.gateway + ROUTE}
        for url in urls.values():
            Wrk(folder, url, 3).result()
        for _ in range(ROUNDS):
            for name, url in urls.items():
                found[name].append(Wrk(folder, url, ROUND_SECONDS).result())
        # Added latency, where neither is at its limit: one connection.
        alone = {name: Wrk(folder, url, ROUND_SECONDS, connections=1).result() for name, url in urls.items()}
    rate = {n: statistics.median(r["requests"] / r["seconds"] for r in rounds) for n, rounds in found.items()}
    return {
        "bare_requests_per_second": rate["bare"],
        "gateway_requests_per_second": rate["gateway"],
        "gateway_share_of_bare": rate["gateway"] / rate["bare"],
        "gateway_added_p50_ms": alone["gateway"]["p50_ms"] - alone["bare"]["p50_ms"],
        "gateway_failed": sum(r["failed"] for r in found["gateway"]),
    }


def moves(stage: Stage, folder: Path, requests: int, count: int) -> dict[str, Any]:
    """Promotions, rollbacks and restarts until both counts are reached."""
    total: Counter[str] = Counter()
    done: Counter[str] = Counter()
    slowest = 0.0
    while total["requests"] < requests or done["promotion"] + done["rollback"] < count:
        load = Wrk(folder, stage.gateway + ROUTE, 90)
        done += moves_under_load(stage, count, load)
        result = load.result()
        total += Counter({"requests": result["requests"], "failed": result["failed"]})
        slowest = max(slowest, result["max_ms"])
    return {
        "moves": dict(done),
        "moved_requests": total["requests"],
        "failed_requests": total["failed"],
        "slowest_ms": slowest,
    }


def kills(stage: Stage, count: int) -> dict[str, Any]:
    """Random `kill -9` of every kind of process under load; what was acknowledged and isn't there."""
    with Client(stage.gateway) as client:
        hit = kills_under_load(stage, count, 3.0, seed=11)
        time.sleep(10)
    missing, unrated = lost(stage.database, client.account)
    wait_until(lambda: stage.state().phase is not Phase.PROMOTING, 60)
    return {
        "kills": dict(hit),
        "acknowledged_predictions": len(client.account.predictions),
        "acknowledged_feedback": len(client.account.feedback),
        "lost_predictions": len(missing),
        "lost_feedback": len(unrated),
        "refused_while_killing": dict(client.account.failed),
        "doubled": doubled(stage.database),
    }


def show(result: dict[str, Any]) -> None:
    table = Table(title="A live rollout", box=None)
    for column in ("figure", "goal", "measured", ""):
        table.add_column(column)
    for name, (sign, goal) in GOALS.items():
        value = result[name]
        good = {"==": value == goal, "<=": value <= goal, ">=": value >= goal}[sign]
        table.add_row(name, f"{sign} {goal:g}", f"{value:.3g}", "[green]met[/]" if good else "[red]missed[/]")
    console = Console(width=120)
    console.print(table)
    console.print_json(json.dumps({k: v for k, v in result.items() if k not in GOALS}))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main()
