"""Load on a whole installation while things are moved, restarted and killed, and the account of what was lost.

Used by the e2e tests in small and by the benchmarks in full.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import text

from mlops_assets.api.orchestrator import Orchestrator
from mlops_assets.installation import leftovers
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.rollout.ledger import Ledger, LedgerError, State
from mlops_assets.storage.database import Database
from tests.e2e.installation import Installation
from tests.servers import wait_until

PRODUCT = "house_prices"
ROUTE = "/api/predict_home_price"
BODY = {"total_sqft": 1200, "location": "Whitefield", "bhk": 2, "bath": 2}

WRK_SCRIPT = """
local bodies = {}
for i = 1, 200 do
  bodies[i] = string.format('{"total_sqft": %d, "location": "Whitefield", "bhk": 2, "bath": 2}', 600 + 10 * i)
end
local number = 0
function init(args) math.randomseed(tonumber(tostring({}):sub(8)) or os.time()) end
function request()
  number = number + 1
  local headers = {["Content-Type"] = "application/json", ["x-user-id"] = "wrk-" .. math.random(1, 5000)}
  return wrk.format("POST", nil, headers, bodies[number % 200 + 1])
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %f, "connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d, ' ..
    '"p50_ms": %f, "p99_ms": %f, "max_ms": %f}\\n',
    summary.requests, summary.duration / 1e6, e.connect, e.read, e.write, e.timeout, e.status,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
"""


class Wrk:
    """`wrk` posting predictions to `url` for `seconds`; `result` waits and returns its numbers."""

    def __init__(self, folder: Path, url: str, seconds: int, connections: int = 16) -> None:
        script = folder / "predictions.lua"
        script.write_text(WRK_SCRIPT)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._limit = seconds + 60

    def __enter__(self) -> Wrk:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def running(self) -> bool:
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        output, _ = self._process.communicate(timeout=self._limit)
        line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
        assert line is not None, output
        found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
        found["failed"] = sum(int(found[name]) for name in ("connect", "read", "write", "timeout", "status"))
        return found


@dataclass
class Stage:
    """An installation with its ledger and process manager."""

    made: Installation
    ledger: Ledger
    database: Database
    supervisor: Supervisor

    @classmethod
    def of(cls, made: Installation) -> Stage:
        database = Database.connect(made.settings.database)
        return cls(made, Ledger(database), database, Supervisor(made.settings))

    @property
    def gateway(self) -> str:
        return made_url(self.made)

    def state(self) -> State:
        return self.ledger.state(PRODUCT)

    def wait_state(self, wanted: Callable[[State], bool], seconds: float = 60) -> State:
        wait_until(lambda: wanted(self.state()), seconds, lambda: f"{self.state()}{self.made.logs()}")
        return self.state()

    def wait_version(self, version: int, variant: str = "production", seconds: float = 30) -> None:
        """Return when the service of `variant` holds release `version`."""
        ports = self.made.settings.ports
        url = f"http://127.0.0.1:{ports.production(0) if variant == 'production' else ports.candidate(0)}/readyz"

        def holds() -> bool:
            try:
                return bool(httpx.get(url, timeout=2).json().get("version") == version)
            except (httpx.HTTPError, ValueError):
                return False

        wait_until(holds, seconds, self.made.logs)

    def restart(self, program: str) -> None:
        """Stop a program as an operator would, and start it again."""
        self.supervisor.stop_program(program)
        wait_until(lambda: self.supervisor.states()[program].state in ("STOPPED", "EXITED"), 60)
        self.supervisor.start_program(program)
        wait_until(lambda: self.supervisor.states()[program].state == "RUNNING", 60)

    def kill(self, program: str) -> None:
        """`kill -9` of every process of a program."""
        for process in leftovers.marked(self.made.home, program):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def second_release(self) -> int:
        """Train once more, so that there is a candidate; its number."""
        before = self.state()
        with Orchestrator.of(self.made.settings) as orchestrator:
            orchestrator.launch(f"{PRODUCT}_train")
        return self.wait_state(lambda s: s.candidate not in (None, before.candidate), 240).candidate or 0


def made_url(made: Installation) -> str:
    """Address of the gateway."""
    return f"http://127.0.0.1:{made.settings.ports.gateway}"


@dataclass
class Account:
    """What a client was told: acknowledged predictions and feedback, and requests that failed."""

    predictions: list[str] = field(default_factory=list)
    feedback: list[tuple[str, int]] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    sent: int = 0


class Client:
    """Predicts and rates through the gateway in a thread, and keeps the account."""

    def __init__(self, url: str, workers: int = 12, pause: float = 0.02) -> None:
        self.account = Account()
        self._url = url
        self._workers = workers
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    async def _run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=15) as client:
            await asyncio.gather(*(self._worker(client, n) for n in range(self._workers)))

    async def _worker(self, client: httpx.AsyncClient, number: int) -> None:
        dice = random.Random(number)
        while not self._stop.is_set():
            headers = {"x-user-id": f"user-{dice.randrange(300)}"}
            body = BODY | {"total_sqft": dice.randrange(400, 4000)}
            answer = await self._post(client, ROUTE, body, headers)
            if answer is not None:
                self.account.predictions.append(answer["prediction_id"])
                if dice.random() < 0.4:
                    stars = dice.randrange(1, 6)
                    rating = {"prediction_id": answer["prediction_id"], "feedback_type": "rating"}
                    told = await self._post(client, "/api/feedback", rating | {"feedback_value": stars}, headers)
                    if told is not None:
                        self.account.feedback.append((answer["prediction_id"], stars))
            await asyncio.sleep(self._pause)

    async def _post(
        self, client: httpx.AsyncClient, path: str, body: dict[str, Any], headers: dict[str, str]
    ) -> dict[str, Any] | None:
        self.account.sent += 1
        try:
            answer = await client.post(path, json=body, headers=headers)
        except httpx.HTTPError as error:
            self.account.failed[type(error).__name__] += 1
            return None
        if answer.status_code != 200:
            self.account.failed[f"HTTP {answer.status_code} {path}"] += 1
            return None
        found: dict[str, Any] = answer.json()
        return found


def lost(database: Database, account: Account, seconds: float = 120) -> tuple[list[str], list[tuple[str, int]]]:
    """Acknowledged predictions and ratings that the database doesn't hold once everything is shipped."""
    deadline = time.monotonic() + seconds
    while True:
        with database.engine.connect() as connection:
            known = {str(row[0]) for row in connection.execute(text("SELECT id FROM mlops.prediction"))}
            ratings = "SELECT prediction_id, value FROM mlops.feedback_current WHERE type = 'rating'"
            rated = {str(row[0]): int(row[1]) for row in connection.execute(text(ratings))}
        missing = [p for p in account.predictions if p not in known]
        unrated = [(p, stars) for p, stars in account.feedback if rated.get(p) != stars]
        if (not missing and not unrated) or time.monotonic() > deadline:
            return missing, unrated
        time.sleep(0.5)


def doubled(database: Database) -> dict[str, int]:
    """How much the counts of the rollout differ from a recount of the log, and ledger rows out of order."""
    recount = """
        SELECT coalesce(sum(requests), 0) - (SELECT count(*) FROM mlops.prediction WHERE rollout IS NOT NULL)
        FROM mlops.traffic"""
    order = "SELECT count(*) - count(DISTINCT seq) + max(seq) - count(*) FROM mlops.ledger WHERE product = :product"
    with database.engine.connect() as connection:
        return {
            "counts": int(connection.scalar(text(recount)) or 0),
            "ledger": int(connection.scalar(text(order), {"product": PRODUCT}) or 0),
        }


def moves_under_load(stage: Stage, moves: int, load: Wrk, say: Callable[[str], None] = print) -> Counter[str]:
    """Promotions, rollbacks, share changes and restarts while `load` runs; how many of each were made."""
    done: Counter[str] = Counter()
    state = stage.state()
    first, second = state.production, state.candidate or state.previous
    assert first is not None, "nothing is served"
    assert second is not None, "two releases are needed to move between them"
    restarts = [f"{PRODUCT}_production", "shipper", f"{PRODUCT}_candidate", "controller", "api"]
    for number in range(moves):
        if not load.running():
            break
        state = stage.state()
        target = second if state.production == first else first
        kind = "promotion" if number % 2 == 0 else "rollback"
        try:
            if kind == "promotion":
                stage.ledger.promote(PRODUCT, "load", f"move {number}", version=target)
            else:
                stage.ledger.rollback(PRODUCT, actor="load", reason=f"move {number}", retrain=False)
        except LedgerError as error:
            say(f"move {number}: {error}")
            continue
        done[kind] += 1
        wanted = stage.state().production or 0
        stage.wait_version(wanted)
        if number % 2:
            program = restarts[number // 2 % len(restarts)]
            stage.restart(program)
            done[f"restart of {program}"] += 1
        say(f"move {number}: {kind}, release {wanted} serves")
    return done


def kills_under_load(
    stage: Stage, kills: int, pause: float, seed: int, say: Callable[[str], None] = print
) -> Counter[str]:
    """`kill -9` of random programs, one every `pause` seconds or so; how often each was hit."""
    dice = random.Random(seed)
    programs = [
        *(f"{PRODUCT}_production", f"{PRODUCT}_candidate", "shipper", "postgres", "gateway", "controller"),
        *("daemon", "code", "runs", "mlflow", "webserver", "api"),
    ]
    chances = [8, 6, 8, 4, 6, 4, 1, 1, 1, 1, 1, 1]
    hit: Counter[str] = Counter()
    for number in range(kills):
        (program,) = dice.choices(programs, chances)
        stage.kill(program)
        hit[program] += 1
        say(f"kill {number + 1}/{kills}: {program}")
        time.sleep(pause * dice.uniform(0.5, 1.5))
    return hit


def freeze(processes: list[psutil.Process], frozen: bool) -> None:
    """Stop processes in their tracks, or let them go on."""
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGSTOP if frozen else signal.SIGCONT)
        except ProcessLookupError:
            continue
