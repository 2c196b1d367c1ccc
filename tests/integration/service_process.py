"""A service as it runs: `bentoml serve` in a process of its own, and the ledger that it follows.

Add here what a test of a running service needs. Keep out tests.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2

from tests.unit.inference.tiny_release import HOME, MODULE, PRODUCT, write_release

PROJECT = Path(__file__).resolve().parents[2]
BENTOML = str(Path(sys.executable).parent / "bentoml")
WAIT_SECONDS = 60.0


def eventually(what: Callable[[], bool], told: str) -> None:
    """Wait until `what` holds; a service that isn't there yet counts as not holding."""
    give_up = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        try:
            if what():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {WAIT_SECONDS} s: {told}")


@dataclass
class Ledger:
    """Publishes tiny releases and decides who serves, as the platform would."""

    url: str
    folder: Path
    seq: int = 0

    def __post_init__(self) -> None:
        columns = "(product, version, sha256, rows, uri, source, sample)"
        self._run(f"INSERT INTO mlops.dataset_version {columns} VALUES (%s, 1, '', 1, '', '', true)", PRODUCT)

    def _run(self, statement: str, *values: Any) -> None:
        connection = psycopg2.connect(self.url.replace("+psycopg2", ""))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
        finally:
            connection.close()

    def publish(self, version: int) -> Path:
        folder = write_release(self.folder / "published" / str(version), version, factor=version / 10)
        self.register(version, folder)
        return folder

    def register(self, version: int, folder: Path) -> None:
        columns = "(product, version, run_id, dataset_version, uri)"
        statement = f"INSERT INTO mlops.release {columns} VALUES (%s, %s, %s, 1, %s)"
        self._run(statement, PRODUCT, version, str(version), str(folder))

    def decide(self, production: int | None, candidate: int | None = None, **columns: Any) -> None:
        self.seq += 1
        row = {"product": PRODUCT, "seq": self.seq, "event": "x", "production": production, "candidate": candidate}
        row |= {"candidate_share": 0.0, "actor": "test", "reason": "test", "details": "{}", **columns}
        places = ", ".join(["%s"] * len(row))
        self._run(f"INSERT INTO mlops.ledger ({', '.join(row)}) VALUES ({places})", *row.values())


@dataclass
class Service:
    """One `bentoml serve` process and its children."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    seen: list[int] = field(default_factory=list)

    def predict(self, **changes: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/api/predict_price", json={**HOME, **changes}, timeout=5)

    def version(self) -> int | None:
        answer = self.predict()
        return answer.json()["model_version"] if answer.status_code == 200 else None

    def health(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/api/health", timeout=5).json()

    def serves(self, version: int | None) -> None:
        eventually(lambda: self.version() == version, f"version {version} serves\n{self.log.read_text()}")

    def worker(self) -> psutil.Process:
        (worker,) = psutil.Process(self.process.pid).children()
        return worker


@contextmanager
def serving(folder: Path, target: str = "inference.service:service", **settings: str) -> Iterator[Service]:
    """A served target, live at the start; at the end it is stopped gracefully and has left nothing behind."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    environment |= {f"MLOPS_SERVING_{name.upper()}": value for name, value in settings.items()}
    command = [BENTOML, "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--timeout-graceful-shutdown", "5"]
    if target.startswith("inference."):
        command += ["--working-dir", str(PROJECT)]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=out)
    service = Service(process, f"http://127.0.0.1:{port}", log)
    try:
        eventually(lambda: httpx.get(f"{service.url}/livez").status_code == 200, f"live\n{log.read_text()}")
        yield service
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        process.terminate()
        _, left = psutil.wait_procs(family, timeout=20)
        for stray in left:
            stray.kill()
        process.wait(20)
    assert left == [], f"{left} outlived a graceful stop\n{log.read_text()}"


def following(ledger: Ledger, variant: str = "production") -> dict[str, str]:
    return {
        "product": PRODUCT,
        "module": MODULE,
        "route": "predict_price",
        "answer": "price",
        "variant": variant,
        "database_url": ledger.url,
        "cache_dir": str(ledger.folder / f"cache_{variant}"),
    }
