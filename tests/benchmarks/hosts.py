"""Many hosts beside one machine: the same loop and result, and what users notice while hosts die.

`python -m tests.benchmarks.hosts [--answers 100000] [--workers 24]` trains the sample of the first product on one
machine and on nine hosts (network namespaces with a PostgreSQL, an S3, a Dask scheduler and two workers, an
orchestrator, two serving hosts, a gateway), compares what was trained and decided, and then has users ask the hosts
while serving hosts, the orchestrator, a worker and the cable of the database are taken away in turn, each four times.
The answers are shared out among these times. Prints a table and writes results/hosts.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from mlops_assets.rollout.ledger import Ledger
from mlops_assets.storage.database import Database
from tests.e2e.hosts import COMMAND_SECONDS, Hosts, running_hosts
from tests.e2e.installation import installation
from tests.e2e.load import BODY, PRODUCT, ROUTE, Account, Client, doubled, lost
from tests.servers import wait_until

RESULT = Path(__file__).parent / "results" / "hosts.json"
ASKED = [BODY | {"total_sqft": size, "bhk": rooms} for size in range(500, 4500, 100) for rooms in (1, 2, 3)]
CLOSE = 1e-6
DOWN_SECONDS = 5.0
TAKEN = ("serving1", "orchestrator", "worker1", "database", "serving2") * 4
ANSWER_SECONDS = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=24)
    given = parser.parse_args()
    result: dict[str, Any] = {"one_machine": one_machine()}
    with running_hosts() as hosts:
        database = Database.connect(hosts.settings().database)
        result["hosts"] = trained(database, hosts.gateway)
        result |= {"largest_difference": difference(result), "same_decisions": same(result)}
        result |= under_kills(hosts, database, given.answers, given.workers)
        database.dispose()
    # Of hundreds of numbers, what they come to is enough.
    for place in ("one_machine", "hosts"):
        del result[place]["estimates"]
    result["load_average"] = os.getloadavg()[0]
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


def one_machine() -> dict[str, Any]:
    with installation() as made:
        made.seconds = COMMAND_SECONDS
        made.ok("up")
        database = Database.connect(made.settings.database)
        found = trained(database, f"http://127.0.0.1:{made.settings.ports.gateway}")
        database.dispose()
        return found


def trained(database: Database, gateway: str) -> dict[str, Any]:
    """What the first release is, how the ledger came to it, and what it estimates."""
    ledger = Ledger(database)
    state = ledger.state(PRODUCT)
    manifest = ledger.release(PRODUCT, state.production or 0).manifest or {}
    with httpx.Client(base_url=gateway, timeout=10) as client:
        answers = [client.post(ROUTE, json=record).raise_for_status().json() for record in ASKED]
    return {
        "metrics": {name: value for name, value in manifest["metrics"].items() if isinstance(value, int | float)},
        "decided": [entry.event for entry in reversed(ledger.history(PRODUCT))],
        "estimates": [answer["estimated_price"] for answer in answers],
    }


def difference(result: dict[str, Any]) -> float:
    """The largest relative difference of a metric or an estimate."""
    one, other = result["one_machine"], result["hosts"]
    pairs = list(zip(one["estimates"], other["estimates"], strict=True))
    pairs += [(value, other["metrics"][name]) for name, value in one["metrics"].items()]
    return max(abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs)


def same(result: dict[str, Any]) -> bool:
    return bool(result["one_machine"]["decided"] == result["hosts"]["decided"])


def under_kills(hosts: Hosts, database: Database, answers: int, workers: int) -> dict[str, Any]:
    """Take away one host after the other, and wait for a share of the predictions after each; what users noticed."""
    began = time.monotonic()
    with Client(hosts.gateway, workers=workers, pause=0.0) as client:
        account = client.account
        for what in TAKEN:
            take_away(hosts, what)
            more(account, answers // len(TAKEN))
            print(f"{len(account.predictions):,} answered, {account.failed.total()} failed; lost: {what}", flush=True)
    seconds = time.monotonic() - began
    missing, unrated = lost(database, account)
    return {
        "answers": len(account.predictions),
        "ratings": len(account.feedback),
        "failed": dict(account.failed),
        "lost": len(missing) + len(unrated),
        "doubled": doubled(database),
        "taken_away": Counter(TAKEN),
        "seconds": round(seconds, 1),
    }


def more(account: Account, answers: int) -> None:
    """Return when so many more were answered."""
    wanted = len(account.predictions) + answers
    wait_until(lambda: len(account.predictions) >= wanted, ANSWER_SECONDS, lambda: str(account.failed))


def take_away(hosts: Hosts, what: str) -> None:
    """A host for as long as it takes to start it again, or the database's cable for some seconds."""
    if what == "database":
        hosts.hosts[what].unplug()
        time.sleep(DOWN_SECONDS)
        hosts.hosts[what].plug_in()
        return
    if what in hosts.workers:
        hosts.workers[what].end()
        hosts.workers[what].start()
        return
    member = hosts.members[what]
    member.end()
    member.ok("up")
    wait_until(lambda: member.run("ready").returncode == 0, 60, member.logs)


def show(result: dict[str, Any]) -> None:
    table = Table(title="Many hosts", box=None)
    for column in ("figure", "goal", "measured", ""):
        table.add_column(column)
    failed, asked = sum(result["failed"].values()), result["answers"]
    for name, goal, measured, good in (
        ("decisions of one machine", "the same", str(result["same_decisions"]), result["same_decisions"]),
        (
            "largest difference",
            f"≤ {CLOSE:g}",
            f"{result['largest_difference']:.2g}",
            result["largest_difference"] <= CLOSE,
        ),
        ("failed or lost answers", "0", f"{failed + result['lost']} of {asked:,}", failed + result["lost"] == 0),
    ):
        table.add_row(name, goal, measured, "[green]met[/]" if good else "[red]missed[/]")
    console = Console(width=120)
    console.print(table)
    console.print_json(json.dumps({k: v for k, v in result.items() if k not in ("one_machine", "hosts")}))


if __name__ == "__main__":
    main()
